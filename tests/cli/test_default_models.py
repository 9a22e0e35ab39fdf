"""Default models on the command line: `predict` without -m, `model list`, `info` and `set`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli import console
from ocrctl.cli.app import run
from ocrctl.core.model.info import list_models


def test_predict_without_a_model_reads_pages_with_the_default_ones(
    default_weights: Path, page_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(page_folder), "--device", "cpu", "--report", str(tmp_path / "report.json")]) == 0
    pages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(page["boxes"]) for page in pages] == [2, 2, 2, 0]
    assert all("text" in box for page in pages for box in page["boxes"])
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["model"] == str(default_weights / "det.ckpt")
    assert report["recogniser"] == str(default_weights / "rec-latin.onnx")


def test_every_command_takes_a_default_model(
    default_weights: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(word_folder), "-m", "default:rec-latin", "--format", "txt", "--device", "cpu"]) == 0
    assert run(["eval", "default:rec-latin", "-d", str(word_folder), "--device", "cpu"]) == 0
    capsys.readouterr()
    assert run(["eval", "default:rec", "-d", str(word_folder)]) == 4
    assert "pip install 'ocrctl[multi]'" in capsys.readouterr().err
    assert run(["eval", "default:rec-latn", "-d", str(word_folder)]) == 2
    assert "Did you mean 'default:rec-latin'?" in capsys.readouterr().err


def test_model_list_shows_architectures_and_weights(default_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "list"]) == 0
    header, *rows = [line.split("\t") for line in capsys.readouterr().out.partition("\n\n")[0].splitlines()]
    assert header == ["weights", "arch", "description", "accuracy", "licence", "origin"]
    assert rows[0] == ["default:det", "dbnet", "tiny detection", "IIIT5K test 97.2 %", "Apache-2.0", "manytongues 1.0"]
    assert rows[2][0] == "default:rec" and rows[2][5].endswith("(not installed: pip install 'ocrctl[multi]')")
    assert run(["model", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"crnn", "dbnet"} <= {spec["name"] for spec in found["models"]}
    assert [(one["name"], one["licence"]) for one in found["weights"]][:1] == [("det", "Apache-2.0")]


def test_model_info_tells_origin_and_how_it_was_made(default_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "info", "default:rec-latin"]) == 0
    out = capsys.readouterr().out
    assert "origin: manytongues 1.0, Apache-2.0\naccuracy: IIIT5K test 97.2 %\nmade by: ocrctl export a -o b\n" in out
    assert run(["model", "info", "default:det", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["default"]["name"] == "det"


def test_model_set_leaves_the_files_of_the_package_alone(
    default_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (default_weights / "det.ckpt").read_bytes()
    for model in ("default:det", str(default_weights / "det.ckpt")):
        assert run(["model", "set", model, "box_threshold=0.5"]) == 2
        assert "ocrctl export default:det -o DIR" in capsys.readouterr().err
    assert (default_weights / "det.ckpt").read_bytes() == before


def test_text_of_pages_is_printed_line_by_line(
    default_weights: Path, page_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = str(page_folder / "img_0.png")
    assert run(["predict", page, "--device", "cpu"]) == 0
    boxes = json.loads(capsys.readouterr().out)["boxes"]
    assert run(["predict", page, "--device", "cpu", "--format", "text"]) == 0
    assert capsys.readouterr().out == "".join(f"{box['text']}\n" for box in boxes if box["text"]) + "\n"
    assert run(["predict", page, "-m", "default:det", "--device", "cpu", "--format", "text"]) == 2
    assert "requires a recogniser" in capsys.readouterr().err


def test_word_images_that_are_read_as_pages_are_told_the_recogniser(
    default_weights: Path, word_folder: Path, page_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(path) for path in sorted(word_folder.glob("*.png"))]
    command = ["predict", "--device", "cpu"]
    assert run([*command, words[0]]) == 0
    said = capsys.readouterr().err
    assert "note: the image is as small as word images" in said
    assert f"read each as one word: ocrctl predict --device cpu {words[0]} -m default:rec-latin" in said
    assert run([*command, *words[:5]]) == 0
    assert "ocrctl predict INPUT... -m default:rec-latin" in capsys.readouterr().err
    for arguments in (
        [str(page_folder), words[0]],
        [words[0], "-m", "default:det"],
        [words[0], "-m", "default:rec-latin"],
    ):
        assert run([*command, *arguments]) == 0
        assert "as small as word images" not in capsys.readouterr().err


def test_default_models_come_first_and_no_name_is_cut(
    default_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    for width in (50, 80, 200):
        monkeypatch.setattr(console, "columns", lambda width=width: width)
        assert run(["model", "list"]) == 0
        out = capsys.readouterr().out
        specs = list_models().models
        tasks = ("recognition", "detection")
        wanted = [f"default:{name}" for name in ("det", "rec-latin", "rec")]
        architectures = out.index("\narch ", out.rindex("default:rec"))
        wanted_names = [(name, 0) for name in wanted] + [
            (spec.name, architectures) for task in tasks for spec in specs if spec.task == task
        ]
        found = [re.search(rf"(?<![\w:-]){name}(?![\w-])", out[start:]) for name, start in wanted_names]
        assert all(found) and "…" not in out
        places = [start + match.start() for (_, start), match in zip(wanted_names, found, strict=True) if match]
        assert places == sorted(places)


def test_pages_that_are_read_as_words_are_told_the_detector(
    default_weights: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, crop = tmp_path / "photo.png", tmp_path / "line.png"
    cv2.imwrite(str(photo), np.full((500, 700, 3), 200, np.uint8))
    cv2.imwrite(str(crop), np.full((420, 2000, 3), 200, np.uint8))  # a sharp crop of one line
    command = ["predict", "--device", "cpu", "-m", "default:rec-latin"]
    assert run([*command, str(photo)]) == 0
    said = capsys.readouterr().err
    assert "note: the image is as large as a page, and read as one word" in said
    assert f"add a detector: ocrctl {' '.join(command)} {photo} -m default:det" in said
    assert run([*command, *[str(photo)] * 5]) == 0
    assert "ocrctl predict INPUT... -m default:rec-latin -m default:det" in capsys.readouterr().err
    for images in ([crop], [photo, *sorted(word_folder.glob("*.png"))]):
        assert run([*command, *map(str, images)]) == 0
        assert "as large as a page" not in capsys.readouterr().err
