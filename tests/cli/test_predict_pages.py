"""`ocrctl predict` with a detector: lines, files, overlays and submissions, and what reads them again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.data.formats import DETECTION_FORMATS
from ocrctl.data.formats.spec import open_annotations

LEFT = {"img_0": 20, "img_1": 32, "img_2": 44}  # of both bars


def predict(model: Path, *arguments: object) -> int:
    return run(["predict", *map(str, arguments), "-m", str(model), "--device", "cpu"])


def test_json_lines_are_what_a_detector_writes(
    tiny_detector: Path, page_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tiny_detector, page_folder) == 0
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(Path(row["path"]).stem, len(row["boxes"])) for row in rows] == [
        (f"img_{i}", 2 * (i < 3)) for i in range(4)
    ]
    assert (rows[0]["height"], rows[0]["width"]) == (120, 160)
    np.testing.assert_allclose(rows[0]["boxes"][0]["points"], [[20, 20], [100, 20], [100, 48], [20, 48]], atol=4)
    assert 0.9 < rows[0]["boxes"][0]["score"] <= 1
    assert "4 read, 0 unreadable, 6 boxes" in err


def test_tsv_has_a_row_for_each_box(tiny_detector: Path, page_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(tiny_detector, page_folder, "--format", "tsv", "--batch-size", "3") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["path", "score", "points"] and len(rows) == 1 + 6 + 1
    assert len(rows[1][2].split(",")) == 8 and rows[-1][1:] == ["", ""]


@pytest.mark.parametrize("name", sorted(DETECTION_FORMATS))
def test_every_format_of_pages_is_written_and_read_again(
    tiny_detector: Path, page_folder: Path, tmp_path: Path, name: str
) -> None:
    assert predict(tiny_detector, page_folder, "--format", name, "-o", tmp_path) == 0
    data = open_annotations(f"{name}:{tmp_path / name}")
    found = {Path(data.images[image]).stem for image in data.image_id.tolist()}
    assert found == set(LEFT) and len(data) == 6
    for index, image in enumerate(data.image_id.tolist()):
        assert abs(data.polygon(index)[:, 0].min() - LEFT[Path(data.images[image]).stem]) < 4
    assert len(data.image_bytes(int(data.image_id[0]))) > 100  # the image came along
    assert len((tmp_path / "predictions.jsonl").read_text("utf-8").splitlines()) == 4


@pytest.mark.parametrize("arguments", [["submission", "submission.zip"], ["txt", "txt", "--scores"]])
def test_results_are_scored_by_eval(
    tiny_detector: Path, page_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    name, place, *scores = arguments
    assert predict(tiny_detector, page_folder, "--format", name, "-o", tmp_path) == 0
    capsys.readouterr()
    given = ["--gt", f"icdar15:{page_folder}", "--pred", str(tmp_path / place), *scores, "--json"]
    assert run(["eval", *given, "--fail-under", "hmean=1.0"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["matched"] == 6


def test_a_submission_is_whole_pixels_and_the_same_bytes(
    tiny_detector: Path, page_folder: Path, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        assert predict(tiny_detector, page_folder, "--format", "submission", "-o", tmp_path / folder) == 0
    files = [(tmp_path / folder / "submission.zip").read_bytes() for folder in ("a", "b")]
    assert files[0] == files[1]
    with zipfile.ZipFile(tmp_path / "a" / "submission.zip") as archive:
        assert archive.namelist() == [f"res_img_{i}.txt" for i in range(4)]
        lines = archive.read("res_img_0.txt").decode().splitlines()
        assert len(lines) == 2 and all(len([int(part) for part in line.split(",")]) == 8 for line in lines)
        assert archive.read("res_img_3.txt") == b""


def test_overlays_show_the_boxes(tiny_detector: Path, page_folder: Path, tmp_path: Path) -> None:
    assert predict(tiny_detector, page_folder, "--format", "overlay", "-o", tmp_path) == 0
    for number in range(4):
        before = cv2.imread(str(page_folder / f"img_{number}.png"))
        after = cv2.imread(str(tmp_path / "overlay" / f"img_{number}.png"))
        assert after.shape == before.shape
        changed = (after != before).any(2)
        assert changed.any() == (number < 3)
        assert not changed[:10].any() and not changed[58:64].any()  # above the bars and between them


def test_polygons_have_any_number_of_points(
    tiny_detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.full((120, 160, 3), 220, np.uint8)
    image[20:60, 20:60] = image[40:60, 60:120] = (20, 20, 220)
    cv2.imwrite(str(tmp_path / "bend.png"), image)
    assert predict(tiny_detector, tmp_path / "bend.png", "--polygons") == 0
    (box,) = json.loads(capsys.readouterr().out)["boxes"]
    assert len(box["points"]) > 4


def test_unreadable_pages_are_named_and_leave_no_result(
    tiny_detector: Path, page_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.png").write_bytes((page_folder / "img_0.png").read_bytes()[:60])
    shutil.copy(page_folder / "img_1.png", tmp_path / "good.png")
    assert predict(tiny_detector, tmp_path, "--format", "paddleocr-det", "-o", tmp_path / "out") == 1
    assert "cut.png" in capsys.readouterr().err
    assert open_annotations(f"paddleocr-det:{tmp_path / 'out' / 'paddleocr-det'}").images == ["images/good.png"]
    assert predict(tiny_detector, tmp_path / "cut.png", "--format", "overlay", "-o", tmp_path / "none") == 3
    assert not (tmp_path / "none" / "predictions.jsonl").exists()


def test_two_images_of_one_name_cannot_share_a_result(
    tiny_detector: Path, page_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(page_folder / "img_0.png", tmp_path / folder)
    assert predict(tiny_detector, tmp_path, "--format", "submission", "-o", tmp_path / "out") == 1
    assert "an earlier image has the same name res_img_0.txt" in capsys.readouterr().err
    assert predict(tiny_detector, tmp_path / "a", tmp_path / "b", "--format", "overlay", "-o", tmp_path / "over") == 0
    assert sorted(path.name for path in (tmp_path / "over" / "overlay").iterdir()) == ["img_0.png", "img_0_2.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "rec_gt"], "--format rec_gt is for word images"),
        (["--format", "overlay"], "--format overlay writes files of its own"),
        (["--format", "txt"], "--format txt is a file for each page"),
        (["--format", "paddleocr_det"], "Did you mean"),
        (["--decoding", "ar"], "only autoregressive"),
    ],
)
def test_what_does_not_fit_a_detector_is_refused(
    tiny_detector: Path, page_folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert predict(tiny_detector, page_folder, *arguments) == 2
    assert message.lower() in capsys.readouterr().err.lower()


def test_formats_of_pages_and_polygons_are_no_matter_of_words(
    tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(tiny_checkpoint, word_folder, "--format", "overlay", "-o", tmp_path) == 2
    assert "the model reads word images" in capsys.readouterr().err
    assert predict(tiny_checkpoint, word_folder, "--polygons") == 2


def test_a_folder_that_is_taken_is_refused_before_reading(
    tiny_detector: Path, page_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "icdar15").mkdir()
    (tmp_path / "icdar15" / "mine.txt").write_text("x", encoding="utf-8")
    assert predict(tiny_detector, page_folder, "--format", "icdar15", "-o", tmp_path) == 2
    assert "exists already" in capsys.readouterr().err and not list(tmp_path.glob("predictions*"))


def test_interrupted_it_keeps_the_lines_written_so_far(tiny_detector: Path, page_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ocrctl", "predict", "-", "-m", str(tiny_detector), "--device", "cpu",
               "--format", "icdar15", "-o", str(tmp_path), "--json"]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(os.fsencode(f"{page_folder / 'img_0.png'}\n"))
    process.stdin.flush()
    assert len(json.loads(process.stdout.readline())["boxes"]) == 2  # a line comes while the program still waits
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and b"predictions.jsonl.part" in error
    assert len((tmp_path / "predictions.jsonl.part").read_text("utf-8").splitlines()) == 1
    assert not (tmp_path / "icdar15").exists()


def test_a_closed_pipe_ends_it_silently(tiny_detector: Path, page_folder: Path) -> None:
    command = [sys.executable, "-m", "ocrctl", "predict", *[str(page_folder)] * 40, "-m", str(tiny_detector)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None and b"Traceback" not in process.stderr.read()
    process.wait(timeout=60)
