"""`ocrctl predict` and `eval` of a detector on images as they come: deep, turned by EXIF, tiny, long, textless."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run

PAGE = np.full((120, 160, 3), 220, np.uint8)
PAGE[20:48, 20:100] = (20, 20, 220)  # blue, green, red


def predicted(model: Path, file: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert run(["predict", str(file), "-m", str(model), "--device", "cpu", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def turned_by_exif(image: np.ndarray, orientation: int) -> bytes:
    """A JPEG that asks to be turned when it is displayed."""
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + b"\x00" * 4
    exif = b"Exif\x00\x00" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


@pytest.mark.parametrize("kind", ["rgba", "deep"])
def test_four_channels_and_sixteen_bits_are_read_as_rgb(
    tiny_detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    image = cv2.cvtColor(PAGE, cv2.COLOR_BGR2BGRA) if kind == "rgba" else PAGE.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "page.png"), image)
    (box,) = predicted(tiny_detector, tmp_path / "page.png", capsys)["boxes"]
    np.testing.assert_allclose(np.min(box["points"], 0), (20, 20), atol=4)


def test_boxes_of_a_turned_image_stand_as_it_is_displayed(
    tiny_detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = cv2.rotate(PAGE, cv2.ROTATE_90_COUNTERCLOCKWISE)
    (tmp_path / "page.jpg").write_bytes(turned_by_exif(stored, 6))  # displayed: turned clockwise
    page = predicted(tiny_detector, tmp_path / "page.jpg", capsys)
    assert (page["height"], page["width"]) == (120, 160)
    np.testing.assert_allclose(np.min(page["boxes"][0]["points"], 0), (20, 20), atol=4)
    np.testing.assert_allclose(np.max(page["boxes"][0]["points"], 0), (100, 48), atol=4)


@pytest.mark.parametrize("size", [(1, 1), (200, 20000), (20000, 200), (2, 900)])
def test_tiny_and_long_images_have_a_result(
    tiny_detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: tuple[int, int]
) -> None:
    cv2.imwrite(str(tmp_path / "page.png"), np.full(size, 128, np.uint8))  # grey
    page = predicted(tiny_detector, tmp_path / "page.png", capsys)
    assert (page["height"], page["width"], page["boxes"]) == (*size, [])
    assert run(["predict", str(tmp_path / "page.png"), "-m", str(tiny_detector), "--format", "overlay", "-o",
                str(tmp_path / "out"), "--device", "cpu"]) == 0  # fmt: skip
    assert cv2.imread(str(tmp_path / "out" / "overlay" / "page.png")).shape[:2] == size


def test_a_page_that_is_all_text_is_one_box(
    tiny_detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    red = np.zeros((128, 160, 3), np.uint8)
    red[...] = (20, 20, 220)
    cv2.imwrite(str(tmp_path / "page.png"), red)
    (box,) = predicted(tiny_detector, tmp_path / "page.png", capsys, "--polygons")["boxes"]
    assert np.min(box["points"]) >= 0 and np.max(box["points"], 0).tolist() <= [160, 128]


def test_textless_pages_alone_are_scored_without_a_crash(
    tiny_detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "bare.png"), np.full((64, 64, 3), 220, np.uint8))
    (tmp_path / "Label.txt").write_text("bare.png\t[]\n", encoding="utf-8")
    given = ["eval", str(tiny_detector), "-d", f"paddleocr-det:{tmp_path}", "--json", "--device", "cpu"]
    assert run([*given, "--protocol", "hmean", "--protocol", "cleval", "--find-threshold"]) == 0
    rows = json.loads(capsys.readouterr().out)["results"]
    assert rows[0]["total"]["truths"] == rows[0]["total"]["detections"] == 0
    assert rows[0]["by_image"][0]["hmean"] == 1.0
