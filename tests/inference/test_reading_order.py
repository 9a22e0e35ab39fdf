"""Lines from top to bottom, each from left to right, also where text slopes."""

from __future__ import annotations

import numpy as np
import pytest

from ocrctl.inference.reading_order import in_reading_order, reading_lines
from ocrctl.models.outlines.detections import Detections

# left, top, width, height: a receipt whose prices are a little lower or higher than the items they belong to
RECEIPT = [
    (300, 52, 60, 20),
    (10, 50, 90, 20),
    (10, 80, 120, 24),
    (300, 74, 60, 20),
    (150, 10, 100, 30),
    (10, 110, 50, 20),
]
LINES = [[4], [1, 0], [2, 3], [5]]


def outlines(boxes: list[tuple[int, int, int, int]], degrees: float = 0) -> Detections:
    """Quads of (left, top, width, height), turned about the origin by `degrees`."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    quads = np.array([[(x, y), (x + w, y), (x + w, y + h), (x, y + h)] for x, y, w, h in boxes], float) @ turn
    return Detections.from_quads(quads, np.linspace(0.5, 0.9, len(boxes)))


@pytest.mark.parametrize("degrees", [0, 3, -3, 20, -35])
def test_items_and_prices_share_lines(degrees: float) -> None:
    assert reading_lines(outlines(RECEIPT, degrees)) == LINES


def test_scores_and_points_move_together() -> None:
    found = outlines(RECEIPT)
    ordered = in_reading_order(found)
    flat = [index for line in LINES for index in line]
    assert np.array_equal(ordered.quads(), found.quads()[flat]) and np.array_equal(ordered.scores, found.scores[flat])


def test_outlines_above_each_other_are_no_line() -> None:
    assert reading_lines(outlines([(0, 0, 100, 20), (10, 8, 80, 20)])) == [[0], [1]]


def test_polygons_and_pages_without_text() -> None:
    polygons = [np.array([(50, 0), (80, 0), (65, 10)]), np.array([(0, 0), (30, 0), (30, 9), (15, 12), (0, 9)])]
    found = Detections.from_polygons(polygons, np.array([0.5, 0.6]))
    assert reading_lines(found) == [[1, 0]] and in_reading_order(found).scores.tolist() == pytest.approx([0.6, 0.5])
    assert len(in_reading_order(Detections.from_polygons([], np.zeros(0)))) == 0
