from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.core.dataset import suspects as dataset_suspects
from ocrctl.inference.engine import Recognition


class Reader:
    """A model that reads an image by its mean grey: 10 a character of "abcdefghij"."""

    class card:
        height, width, channels, kept, charset = 8, 32, 1, None, "abcdefghij"

    path = "reader"

    def prepare_orientations(self, image: np.ndarray) -> list[np.ndarray]:
        return [np.full((8, 32, 1), round(float(image.mean())), np.uint8)]

    def chunk_size(self, batch_size: int) -> int:
        return batch_size

    def recognize_orientations(self, batch: list[list[np.ndarray]], batch_size: int) -> list[Recognition]:
        return [Recognition("abcdefghij"[int(image.mean()) // 20] * 2, 0.9) for (image,) in batch]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_suspects.Engine, "load", lambda *arguments: Reader())


def plain(level: int, size: tuple[int, int] = (20, 60)) -> np.ndarray:
    return np.full((*size, 3), level * 20 + 10, np.uint8)


def test_words_are_ranked_by_how_surely_they_differ(
    tmp_path: Path, reader: None, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["aa", "BB", "cb", "hh", "ee", "é!", "gg"]  # 3 is wrong, half of 2 is, 5 is beyond the model
    for number in range(len(labels)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), plain(number))
    lines = "".join(f"{number}.png\t{label}\n" for number, label in enumerate(labels))
    (tmp_path / "rec_gt.txt").write_text(lines, encoding="utf-8")
    (tmp_path / "6.png").unlink()
    assert run(["dataset", "suspects", str(tmp_path), "-m", "any", "--json"]) == 0
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [(row["label"], row["reading"], row["score"]) for row in rows] == [("hh", "dd", 0.9), ("cb", "cc", 0.45)]
    assert rows[0]["where"].endswith("rec_gt.txt:4 (3.png)")
    assert "6.png" in captured.err and "2 of 6 labels" in captured.err and "1 have no character" in captured.err
    assert run(["dataset", "suspects", str(tmp_path), "-m", "any", "--limit", "1"]) == 0
    assert capsys.readouterr().out.count("rec_gt.txt:") == 1


def test_words_are_cut_out_of_pages(tmp_path: Path, reader: None, capsys: pytest.CaptureFixture[str]) -> None:
    page = np.concatenate([plain(0), plain(1), plain(2)])
    cv2.imwrite(str(tmp_path / "a.png"), page)
    items = [
        {"transcription": text, "points": [[0, y], [60, y], [60, y + 20], [0, y + 20]]}
        for text, y in (("aa", 0), ("dd", 20), ("###", 40))
    ]
    (tmp_path / "Label.txt").write_text(f"a.png\t{json.dumps(items)}\n")
    assert run(["dataset", "suspects", str(tmp_path), "-m", "any", "--json"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["label"], row["reading"]) == ("dd", "bb") and "instance 2" in row["where"]


def test_a_real_model(tmp_path: Path, word_folder: Path, tiny_onnx: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(word_folder, tmp_path / "set")
    assert run(["dataset", "suspects", str(tmp_path / "set"), "-m", str(tiny_onnx), "--json", "-q"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows and [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert run(["dataset", "suspects", str(tmp_path / "set")]) == 2
    (tmp_path / "set" / "rec_gt.txt").write_text("00.png\t \n")
    assert run(["dataset", "suspects", str(tmp_path / "set"), "-m", str(tiny_onnx)]) == 3


def test_a_model_that_reads_nothing_accuses_no_label(
    word_folder: Path, mute_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before: "12 of 12 labels are not what ... reads", exit 0."""
    assert run(["dataset", "suspects", str(word_folder), "-m", str(mute_checkpoint)]) == 3
    out, err = capsys.readouterr()
    assert out == "" and "reads nothing: 12 of 12 predictions are empty" in err
    assert f"ocrctl eval {mute_checkpoint} -d {word_folder}" in err


def test_a_model_of_other_data_is_doubted_before_the_labels(
    tmp_path: Path, reader: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(24):
        cv2.imwrite(str(tmp_path / f"{number}.png"), plain(number % 10))
    lines = "".join(f"{number}.png\tjg\n" for number in range(24))
    (tmp_path / "rec_gt.txt").write_text(lines, encoding="utf-8")
    assert run(["dataset", "suspects", str(tmp_path), "-m", "any"]) == 0
    assert "warning: only 0 of 24 labels equal the prediction" in capsys.readouterr().err
