"""Two detectors that find nothing agree on every page, and nothing was compared."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ocrctl.core.export.run import TOLERANCES, _failures
from ocrctl.export.parity_pages import compare_pages
from ocrctl.inference.pages import Page
from ocrctl.models.outlines.detections import Detections


class Finder:
    """A detector that finds `boxes` quads on every page."""

    card = SimpleNamespace(task="detection", arch="dbnet")

    def __init__(self, boxes: int) -> None:
        self.boxes = boxes

    def maps(self, pages: list[Page]) -> list[dict[str, np.ndarray]]:
        return [{"probability": np.zeros((32, 32), np.float32)} for _ in pages]

    def find(self, maps: dict[str, np.ndarray], page: Page) -> Detections:
        return Detections.from_quads(np.zeros((self.boxes, 4, 2)), np.ones(self.boxes))


@pytest.mark.parametrize(("boxes", "words", "fails"), [(0, 7, True), (0, 0, False), (1, 7, False)])
def test_pages_with_words_and_no_box_fail(boxes: int, words: int, fails: bool) -> None:
    pages = [(["a"], [Page(np.zeros((32, 32, 3), np.uint8), (1.0, 1.0), (32, 32))])]
    parity = compare_pages(Finder(boxes), Finder(boxes), "set", pages, words)
    said = "set: the model reads nothing (none of 7 words is found by either), so nothing was compared"
    assert _failures(parity, TOLERANCES) == ([said] if fails else [])
