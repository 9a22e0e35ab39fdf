"""CRAFT postprocess: targets come back as words, and odd maps have a defined result."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely

from ocrctl.models.craft.postprocess import craft_boxes
from ocrctl.models.craft.targets import craft_targets


def maps(words: list[tuple[np.ndarray, str]], height: int = 300, width: int = 500) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate([polygon for polygon, _ in words])
    offsets = np.cumsum([0, *(len(polygon) for polygon, _ in words)])
    texts = [text for _, text in words]
    found = craft_targets(points, offsets, np.zeros(len(words), bool), height, width, texts=texts)
    return found["region"], found["affinity"]


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    a, b = shapely.Polygon(one), shapely.Polygon(two)
    return a.intersection(b).area / a.union(b).area


def test_words_come_back_as_one_box_each() -> None:
    words = [(cv2.boxPoints(((130, 70), (180, 40), 8)).astype(float), "harbour"),
             (cv2.boxPoints(((330, 190), (200, 36), -30)).astype(float), "Station"),
             (cv2.boxPoints(((90, 220), (40, 44), 0)).astype(float), "a")]  # fmt: skip
    found = craft_boxes(*maps(words)).scaled(2, 2)
    assert len(found) == 3 and (found.scores > 0.8).all()
    assert all(max(overlap(quad, box) for quad in found.quads()) > 0.7 for box, _ in words)


def test_a_curved_word_comes_back_as_a_polygon() -> None:
    along = np.linspace(0, 1, 9)
    top = np.stack([50 + along * 380, 220 - 150 * np.sin(along * 3)], 1)
    curve = np.concatenate([top, np.add(top, [0, 60])[::-1]])
    region, affinity = maps([(curve, "curvedword")])
    found = craft_boxes(region, affinity, polygons=True).scaled(2, 2)
    assert len(found) == 1 and overlap(found.polygon(0), curve) > 0.6
    assert shapely.LinearRing(found.polygon(0)).is_ccw  # y runs down: clockwise as seen


def test_links_join_and_weak_or_small_parts_are_left_out() -> None:
    region, affinity = np.zeros((2, 60, 100), np.float32)
    region[20:30, 10:20] = region[20:30, 30:40] = 0.9
    region[40:50, 60:80] = 0.6  # never above the threshold
    region[5:7, 60:63] = 0.9  # six cells
    assert len(craft_boxes(region, affinity)) == 2
    affinity[24:26, 18:32] = 0.8
    found = craft_boxes(region, affinity)
    assert len(found) == 1 and found.scores == pytest.approx([0.9])
    (left, top), (right, bottom) = found.quads()[0].min(0), found.quads()[0].max(0)
    assert left < 10 and right > 39 and 15 <= top < 20 and 29 < bottom <= 34


@pytest.mark.parametrize(("height", "grow"), [(1, 2), (3, 3), (4, 4), (7, 5), (9, 6)])
def test_boxes_are_those_of_the_dilated_region(height: int, grow: int) -> None:
    """The boxes equal those of cv2.dilate with a square of grow + 1 cells, whose anchor is behind the middle when that
    number is even."""
    region = np.zeros((120, 160), np.float32)
    region[50 : 50 + height, 30:110] = 0.9
    assert int(2 * np.sqrt(height)) == grow
    dilated = cv2.dilate((region > 0.5).astype(np.uint8), np.ones((1 + grow, 1 + grow), np.uint8))
    rows, columns = np.nonzero(dilated)
    found = craft_boxes(region, np.zeros_like(region)).quads()[0]
    assert found.min(0).tolist() == pytest.approx([columns.min(), rows.min()], abs=1e-3)
    assert found.max(0).tolist() == pytest.approx([columns.max(), rows.max()], abs=1e-3)


def test_slanted_boxes_are_those_of_the_dilated_region() -> None:
    region = np.zeros((120, 160), np.float32)
    cv2.fillPoly(region, [np.array([[30, 40], [110, 60], [106, 76], [26, 56]], np.int32)], 0.9)
    found = craft_boxes(region, np.zeros_like(region)).quads()[0]
    mask = (region > 0.5).astype(np.uint8)
    width, height = cv2.boundingRect(mask)[2:]
    grow = int(2 * np.sqrt(mask.sum() * min(width, height) / (width * height)))
    wide = cv2.dilate(mask, np.ones((1 + grow, 1 + grow), np.uint8))
    expected = cv2.boxPoints(cv2.minAreaRect(np.argwhere(wide)[:, ::-1].astype(np.int32)))
    assert overlap(found, expected) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (100, 10000), (64, 64)])
def test_zeros_and_ones(size: tuple[int, int], polygons: bool) -> None:
    zeros, ones = np.zeros(size, np.float32), np.ones(size, np.float32)
    assert len(craft_boxes(zeros, zeros, polygons=polygons)) == 0
    assert len(craft_boxes(zeros, ones, polygons=polygons)) == 0  # links without text
    full = craft_boxes(ones, ones, polygons=polygons)
    assert len(full) == (min(size) > 1 or (size == (1, 50) and not polygons))
    if min(size) > 1:
        assert full.points.max(0).tolist() == [size[1] - 1, size[0] - 1]


@pytest.mark.parametrize("polygons", [False, True])
def test_three_thousand_parts(polygons: bool) -> None:
    region = np.zeros((300, 480), np.float32)
    rows, columns = np.mgrid[0:50, 0:60]
    for row, column in zip(rows.ravel() * 6, columns.ravel() * 8, strict=True):
        region[row : row + 4, column : column + 6] = 1
    nothing = np.zeros_like(region)
    assert len(craft_boxes(region, nothing, max_candidates=5000, polygons=polygons)) == 3000
    assert len(craft_boxes(region, nothing, polygons=polygons)) == 1000


def test_what_is_not_finite_or_does_not_fit_is_refused() -> None:
    region, affinity = np.zeros((2, 8, 8), np.float32)
    affinity[3] = np.nan
    with pytest.raises(ValueError, match="holds 8 NaN"):
        craft_boxes(region, affinity)
    with pytest.raises(ValueError, match="do not fit"):
        craft_boxes(region, region[:4])
