"""What `dataset validate` calls an error is refused before a training starts, or clamped or skipped as it is told."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli import console
from ocrctl.cli.app import run
from ocrctl.config.settings import DataSettings
from ocrctl.core.train.check_data import check_pages, raise_page_errors
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.validate.image_scan import scan_images
from ocrctl.errors import InputError

SQUARE = [[10, 10], [50, 10], [50, 30], [10, 30]]
BEYOND = [[90, 40], [140, 40], [140, 60], [90, 60]]  # the page is 120 pixels wide
BOW = [[10, 60], [50, 80], [50, 60], [10, 80]]
OUTSIDE = [[200, 10], [240, 10], [240, 30], [200, 30]]
SHORT = ["train.max_steps=1", "train.batch_size=1", "train.threads=1", "data.workers=0", "log.previews=0",
         "page.height=64", "page.width=64", "page.side=128", "model.backbone=mobilenetv3"]  # fmt: skip


@pytest.fixture(autouse=True)
def talking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(console._state, "quiet", False)


def write_pages(folder: Path, *pages: list[tuple[str, list[list[int]]]]) -> Path:
    """Pages of 120x100 pixels in PaddleOCR's layout, with these texts and polygons."""
    folder.mkdir(parents=True)
    lines = []
    for number, words in enumerate(pages):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((100, 120, 3), 200 + number, np.uint8))
        items = [{"transcription": text, "points": points} for text, points in words]
        lines.append(f"{folder.name}/{number}.png\t{json.dumps(items)}\n")
    (folder / "Label.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def go(data: Path, out: Path, *sets: str) -> list[str]:
    lines: list[str] = []
    settings = load_train_settings(None, [*SHORT, *sets], {"arch": "dbnet", "data": {"train": [str(data)]}})
    train(TrainRequest(settings, out), lines.append)
    return lines


def test_errors_of_pages_are_refused_with_counts_and_the_commands_that_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    good = [("word", SQUARE)]
    write_pages(tmp_path / "my pages", [("a", BEYOND), ("b", BOW), *good], [("c", BEYOND), *good], good, good)
    write_pages(tmp_path / "val", [("", SQUARE), ("d", [[60, 10], [100, 10], [100, 30], [60, 30]])])
    sets = [word for item in SHORT for word in ("--set", item)]
    words = ["train", "dbnet", "-d", "my pages", "--val", "val", "-o", "run", *sets]
    assert run(words) == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert "my pages/Label.txt: 3 errors on 2 of 4 pages, P005 self-intersecting x1 (such as " in error
    assert "P010 out-of-bounds x2 (such as" in error and "extends 20.0 pixels beyond" in error
    assert "val/Label.txt: 1 errors on 1 of 1 pages, T001 empty-text x1" in error
    assert "(--set data.bad_polygons=skip --set data.bad_labels=skip would train" in error
    assert not (tmp_path / "run").exists()
    for part in hint.removeprefix("hint: ").split(" && "):
        assert run(shlex.split(part)[1:]) == 0, part
    assert (tmp_path / "run" / "last.ckpt").exists()


def test_clamp_moves_polygons_to_the_edge_and_refuses_the_rest(tmp_path: Path) -> None:
    data = write_pages(tmp_path / "pages", [("a", BEYOND), ("word", SQUARE)], [("word", SQUARE)])
    lines = go(data, tmp_path / "run", "data.bad_polygons=clamp")
    assert f"{data}/Label.txt: data.bad_polygons=clamp moves 1 polygons to the edge of their image (P010)" in lines
    clamped = check_pages(str(data), open_annotations(str(data)), DataSettings(bad_polygons="clamp")).data
    assert clamped.polygon(0).tolist() == [[90, 40], [120, 40], [120, 60], [90, 60]] and not clamped.ignore.any()
    bow = write_pages(tmp_path / "bow", [("a", BEYOND), ("b", BOW)], [("word", SQUARE)])
    with pytest.raises(InputError, match=r"1 errors on 1 of 2 pages, P005 self-intersecting x1"):
        go(bow, tmp_path / "other", "data.bad_polygons=clamp")


@pytest.mark.parametrize("value", ["clamp", "skip"])
def test_a_run_resumes_with_either_value(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a run that was begun before this check: its data has errors, which its data.json does not know."""
    data = write_pages(tmp_path / "pages", [("a", BEYOND), ("word", SQUARE)], [("word", SQUARE)])
    with monkeypatch.context() as before:
        before.setattr("ocrctl.core.train.detection.raise_page_errors", lambda sets: None)
        go(data, tmp_path / "run")
    words = ["train", "--resume", "-o", str(tmp_path / "run"), "--set", "train.max_steps=5"]
    assert run(words) == 3
    assert run([*words, "--set", f"data.bad_polygons={value}"]) == 0


def test_skip_ignores_the_area_of_bad_polygons_and_says_so(tmp_path: Path) -> None:
    words = [
        ("a", BEYOND),
        ("word", SQUARE),
        ("b", BOW),
        ("c", OUTSIDE),
        ("", [[60, 10], [90, 10], [90, 30], [60, 30]]),
    ]
    data = write_pages(tmp_path / "pages", words, [("word", SQUARE)])
    lines = go(data, tmp_path / "run", "data.bad_polygons=skip", "data.bad_labels=skip")
    assert any(
        "data.bad_polygons=skip ignores 1 self-intersecting (P005), 1 out-of-bounds (P010), 1 outside (P011)"
        in line for line in lines
    )  # fmt: skip
    assert any("data.bad_labels=skip ignores 1 empty-text (T001)" in line for line in lines)
    settings = DataSettings(bad_polygons="skip", bad_labels="skip")
    taken = check_pages(str(data), open_annotations(str(data)), settings)
    assert taken.data.ignore.tolist() == [True, False, True, True, False] and not taken.errors.hits
    assert taken.data.texts[1] == "word"
    refused = check_pages(str(data), open_annotations(str(data)), DataSettings(bad_polygons="skip"))
    with pytest.raises(InputError, match=r"T001 empty-text x1 \(such as \S+Label.txt:1 \(\S+, instance 5\)"):
        raise_page_errors([refused])


@pytest.mark.parametrize(
    ("damage", "code"),
    [("not a picture", "I002 unreadable x1"), ("", "I004 empty-file x1"), (None, "I001 missing x1")],
)
def test_files_that_are_no_images_are_refused(damage: str | None, code: str, tmp_path: Path) -> None:
    data = write_pages(tmp_path / "pages", [("word", SQUARE)], [("word", SQUARE)])
    (data / "1.png").unlink()
    if damage is not None:
        (data / "1.png").write_text(damage, encoding="utf-8")
    with pytest.raises(InputError, match=code) as caught:
        go(data, tmp_path / "run", "data.bad_polygons=skip")
    assert "would train" not in caught.value.message and "--remove-bad" in str(caught.value.hint)


def test_words_are_checked_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "words"
    folder.mkdir()
    labels = ["cat", "TEMPORARY", "su\u0007n", " ", "hat", "pen", "hat"]
    for number in range(len(labels) - 1):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((20, 60, 3), 30 * number, np.uint8))
    (folder / "5.png").write_bytes(b"no image")
    lines = "".join(f"{min(number, 4 if number == 6 else number)}.png\t{text}\n" for number, text in enumerate(labels))
    (folder / "rec_gt.txt").write_text(lines, encoding="utf-8")
    words = ["train", "crnn-tiny", "-d", "words", "--charset", "ascii94", "-o", "run"]
    assert run(words) == 3
    error, hint = capsys.readouterr().err.splitlines()
    for part in ("2 of 7 images cannot be used", "I002 unreadable x1", "I012 listed-twice x1", "placeholder (T009)",
                 "control-character (T002)", "1 with empty label"):  # fmt: skip
        assert part in error, part
    assert hint.startswith("hint: ocrctl dataset clean words --clamp --repair --remove-bad && ocrctl ")
    sets = ["train.max_steps=1", "train.batch_size=1", "data.workers=0", "log.previews=0"]
    for part in hint.removeprefix("hint: ").split(" && "):
        more = [word for item in sets for word in ("--set", item)] if " train " in part else []
        assert run([*shlex.split(part)[1:], *more]) == 0, part


def test_no_image_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_pages(tmp_path / "pages", [("word", SQUARE)], [("word", SQUARE)])
    asked: list[bool] = []

    def watched(data: object, findings: object, decode: bool = True, progress: object = None) -> object:
        asked.append(decode)
        return scan_images(data, findings, decode)  # type: ignore[arg-type]

    monkeypatch.setattr("ocrctl.data.validate.run.scan_images", watched)
    check_pages(str(data), open_annotations(str(data)), DataSettings())
    assert asked == [False]
