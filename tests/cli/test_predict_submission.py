"""What a submission is made of: keys that are the input's names, CSV, a list of images without labels."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.data.formats.spec import open_annotations
from ocrctl.inference.engine import Recognition
from ocrctl.inference.writers import page_formats, word_formats
from ocrctl.inference.writers.prediction import PagePrediction, Prediction
from ocrctl.models.outlines.detections import Detections


@pytest.fixture
def test_set(tmp_path: Path, page_folder: Path) -> Path:
    """test.json, which names two pages below img/ without their words, and a third page that it does not name."""
    folder = tmp_path / "receipts"
    (folder / "img" / "deep").mkdir(parents=True)
    for number in range(3):
        (folder / "img" / "deep" / f"img_{number}.png").write_bytes((page_folder / f"img_{number}.png").read_bytes())
    names = {f"deep/img_{number}.png": {"img_w": 160, "img_h": 120, "words": {}} for number in (2, 0)}
    (folder / "test.json").write_text(json.dumps({"images": names}))
    return folder / "test.json"


def test_keys_of_words_json_are_the_names_of_the_list(test_set: Path, tiny_detector: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(["predict", str(test_set), "-m", str(tiny_detector), "--format", "words-json", "-o", str(out)]) == 0
    images = json.loads((out / "words-json" / "train.json").read_text())["images"]
    assert list(images) == ["deep/img_2.png", "deep/img_0.png"]
    assert all(len(entry["words"]) == 2 for entry in images.values())
    assert len(open_annotations(str(out / "words-json"))) == 4  # and its images are found
    assert run(["dataset", "validate", str(out / "words-json"), "--fail-on", "missing"]) == 0


def test_keys_of_words_json_are_the_names_of_the_folder(test_set: Path, tiny_detector: Path, tmp_path: Path) -> None:
    for folder, name in ((test_set.parent / "img", "deep/img_0.png"), (test_set.parent / "img" / "deep", "img_0.png")):
        out = tmp_path / f"out_{folder.name}"
        assert run(["predict", str(folder), "-m", str(tiny_detector), "--format", "words-json", "-o", str(out)]) == 0
        images = json.loads((out / "words-json" / "train.json").read_text())["images"]
        assert len(images) == 3 and name in images


def test_a_list_without_words_is_a_set_of_images(test_set: Path, tmp_path: Path) -> None:
    data = open_annotations(str(test_set.parent))
    assert (data.format, len(data.images), len(data)) == ("words-json", 2, 0)
    assert run(["dataset", "stats", str(test_set)]) == 0
    assert run(["dataset", "convert", str(test_set), str(tmp_path / "out"), "--format", "coco-text"]) == 0
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 2


def test_csv_on_stdout(test_set: Path, tiny_detector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", str(test_set), "-m", str(tiny_detector), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["path", "score", "points"] and len(rows) == 4
    assert rows[0]["path"].endswith("deep/img_2.png") and len(rows[0]["points"].split(",")) == 8


def test_csv_of_words(tiny_checkpoint: Path, word_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(["predict", str(word_folder), "-m", str(tiny_checkpoint), "--format", "csv", "-o", str(out)]) in (0, 1)
    rows = list(csv.reader((out / "predictions.csv").open(encoding="utf-8", newline="")))
    assert rows[0] == ["path", "text", "confidence"] and len(rows) == 13 and set(map(len, rows)) == {3}


def test_csv_quotes_what_rfc_4180_quotes() -> None:
    text = 'say "a", b\nc\td'
    line = word_formats.csv_line(Prediction("a,b.png", text, 0.5))
    assert line == '"a,b.png","say ""a"", b\nc\td",0.5000'
    assert next(csv.reader(io.StringIO(line))) == ["a,b.png", text, "0.5000"]
    assert word_formats.csv_line(Prediction("a.png", "\x1b[2J", 0.5)) == "a.png,\\x1b[2J,0.5000"
    quads = np.array([[[1, 2], [3, 2], [3, 4], [1, 4]]], np.float32)
    found = Detections.from_quads(quads, np.array([0.25], np.float32))
    page = PagePrediction("p.png", found, (9, 9), [Recognition(text, 1.0)])
    assert page_formats.csv_lines(page) == 'p.png,0.2500,"1,2,3,2,3,4,1,4"'
    assert next(csv.reader(io.StringIO(page_formats.text_csv_lines(page))))[3:] == [text, "1.0000"]
    empty = PagePrediction(
        "p.png", Detections.from_quads(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32)), (9, 9), []
    )
    assert (page_formats.csv_lines(empty), page_formats.text_csv_lines(empty)) == ("p.png,,", "p.png,,,,")


def test_a_list_of_words_is_read(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [{"img_path": f"{number:02d}.png", "instances": [{"text": ""}]} for number in (3, 1)]
    label = tmp_path / "textrecog_test.json"
    label.write_text(json.dumps({"data_list": entries}))
    for number in (3, 1):
        cv2.imwrite(str(tmp_path / f"{number:02d}.png"), cv2.imread(str(word_folder / f"{number:02d}.png")))
    assert run(["predict", str(label), "-m", str(tiny_checkpoint), "--format", "tsv"]) == 0
    paths = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert paths == [str(tmp_path / "03.png"), str(tmp_path / "01.png")]
