"""`ocrctl predict --explain`: sheets for words and pages beside the results, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ocrctl.cli.app import run
from ocrctl.config.model_card import CARD_KEY, recognition_card
from ocrctl.models.build import build_model
from ocrctl.models.registry import get_spec


@pytest.fixture(scope="module")
def satrn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUN/best.ckpt of an untrained satrn-tiny that keeps the aspect ratio and reads three characters."""
    card = recognition_card(get_spec("satrn-tiny").with_resize("keep"), "abcdef")
    torch.manual_seed(0)
    model = build_model(card)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    state["model.head.weight"] = state["model.head.weight"] * 40
    folder = tmp_path_factory.mktemp("runs") / "satrn"
    folder.mkdir()
    torch.save({CARD_KEY: card.to_json(), "state_dict": state}, folder / "best.ckpt")
    return folder / "best.ckpt"


def predict(*arguments: object) -> int:
    return run(["predict", *map(str, arguments), "--device", "cpu"])


def sheets(folder: Path) -> dict[str, np.ndarray]:
    return {
        path.relative_to(folder).as_posix(): cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        for path in folder.rglob("*.png")
    }


def test_each_word_image_has_a_sheet_with_its_name(
    satrn: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(word_folder, "-m", satrn) == 0
    plain = capsys.readouterr().out
    assert predict(word_folder, "-m", satrn, "--explain", "-o", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    assert out == "" and f"explanations: {tmp_path / 'out' / 'explain'}" in err
    assert (tmp_path / "out" / "predictions.tsv").read_text("utf-8") == plain
    found = sheets(tmp_path / "out" / "explain")
    assert sorted(found) == [f"{number:02d}.png" for number in range(12)]
    texts = {Path(row.split("\t")[0]).stem: row.split("\t")[1] for row in plain.splitlines()[1:]}
    assert any(texts.values())
    for name, sheet in found.items():  # a coloured row of panels only where there is a text
        heat = (np.ptp(sheet[130:].astype(int), axis=2) > 40).any()
        assert heat == bool(texts[Path(name).stem])


def test_each_box_of_a_page_has_a_sheet_with_its_number(
    satrn: Path, tiny_detector: Path, page_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ("-m", satrn, "-m", tiny_detector)
    assert predict(page_folder, *both) == 0
    plain = capsys.readouterr().out
    assert predict(page_folder, *both, "--explain", "-o", tmp_path, "--format", "overlay", "--json") == 0
    out = capsys.readouterr().out
    assert out == plain and (tmp_path / "predictions.jsonl").read_text("utf-8") == plain
    wanted = [
        f"{Path(page['path']).stem}/{number:04d}.png"
        for page in map(json.loads, out.splitlines())
        for number in range(1, len(page["boxes"]) + 1)
    ]
    found = sheets(tmp_path / "explain")
    assert sorted(found) == sorted(wanted) and len(wanted) == 6
    red = found["img_0/0001.png"][20:90, 20:200].astype(int)  # the crop of a red bar
    assert (red[..., 0] > 150).all() and (red[..., 1:] < 90).all()
    assert len(sheets(tmp_path / "overlay")) == 4


def test_images_of_one_name_do_not_replace_each_other(
    satrn: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "00.png").write_bytes((word_folder / "07.png").read_bytes())
    assert predict(word_folder / "00.png", other / "00.png", "-m", satrn, "--explain", "-o", tmp_path / "out") == 0
    assert sorted(sheets(tmp_path / "out" / "explain")) == ["00.png", "00_2.png"]


def test_an_unreadable_image_has_no_sheet(
    satrn: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    arguments = ("-m", satrn, "--explain", "-o", tmp_path / "out")
    assert predict(tmp_path / "broken.png", word_folder / "00.png", *arguments) == 1
    assert sorted(sheets(tmp_path / "out" / "explain")) == ["00.png"]
    assert predict(tmp_path / "broken.png", "-m", satrn, "--explain", "-o", tmp_path / "none") == 3
    assert not (tmp_path / "none").exists()


def test_what_is_refused(
    satrn: Path,
    tiny_checkpoint: Path,
    tiny_onnx: Path,
    tiny_detector: Path,
    word_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = ("--explain", "-o", tmp_path / "out")
    for arguments, message in (
        (("-m", satrn, "--explain"), "--explain draws an image for each input; name a folder for them with -o DIR"),
        (
            ("-m", tiny_checkpoint, *out),
            "crnn-tiny cannot be explained; models whose attention is known are attention-crnn, parseq, satrn, true2d",
        ),
        (
            ("-m", tiny_onnx, *out),
            "crnn-tiny cannot be explained; models whose attention is known are attention-crnn, parseq, satrn, true2d",
        ),
        (
            ("-m", tiny_detector, "-m", tiny_checkpoint, *out),
            "crnn-tiny cannot be explained; models whose attention is known are attention-crnn, parseq, satrn, true2d",
        ),
        (("-m", tiny_detector, *out), "is a detector; an explanation requires a recogniser"),
    ):
        assert predict(word_folder, *arguments) == 2
        err = capsys.readouterr().err
        assert message in err and err.startswith("error: ") and not (tmp_path / "out").exists()
    kept = tmp_path / "out" / "explain" / "old.png"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert predict(word_folder, "-m", satrn, *out) == 2
    assert f"{kept.parent} exists already" in capsys.readouterr().err and kept.exists()


def test_predict_without_it_imports_nothing_for_it(
    satrn: Path, word_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("core.predict.explain_files", "inference.writers.explanation", "inference.add_attention"):
        monkeypatch.setitem(sys.modules, f"ocrctl.{module}", None)  # an import would fail
    assert predict(word_folder, "-m", satrn, "-o", tmp_path) == 0
    assert predict(word_folder, "-m", satrn, "--explain", "-o", tmp_path / "more") != 0
