"""PAN postprocess: targets come back, embeddings part what touches, and odd maps have a defined result."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely

from ocrctl.models.pan.postprocess import grown, pan_boxes
from ocrctl.models.pan.targets import pan_targets


def maps(*polygons: np.ndarray, height: int = 320, width: int = 480) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """text, kernel and an embedding that gives each text a place of its own, 10 apart."""
    offsets = np.cumsum([0, *(len(polygon) for polygon in polygons)])
    found = pan_targets(np.concatenate(polygons), offsets, np.zeros(len(polygons), bool), height, width)
    instance = found["instance"]
    embedding = np.stack([instance * 10.0, instance * 0, instance * 0, instance * 0])
    return (instance > 0).astype(np.float32), found["kernel"].astype(np.float32), embedding.astype(np.float32)


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    a, b = shapely.Polygon(one), shapely.Polygon(two)
    return a.intersection(b).area / a.union(b).area


def test_rectangles_come_back() -> None:
    boxes = [cv2.boxPoints(((120, 80), (160, 50), 10)), cv2.boxPoints(((300, 200), (200, 40), -35)),
             cv2.boxPoints(((100, 200), (100, 60), 80))]  # fmt: skip
    found = pan_boxes(*maps(*boxes)).scaled(4, 4)
    assert len(found) == 3
    assert all(max(overlap(quad, box) for quad in found.quads()) > 0.85 for box in boxes)
    assert (np.diff(found.quads()[:, :, 1].min(1)) > -20).all()


def test_a_curve_comes_back_as_a_polygon() -> None:
    along = np.linspace(0, 1, 9)
    top = np.stack([30 + along * 400, 200 - 150 * np.sin(along * 3)], 1)
    curve = np.concatenate([top, np.add(top, [0, 70])[::-1]])
    found = pan_boxes(*maps(curve), polygons=True).scaled(4, 4)
    assert len(found) == 1 and overlap(found.polygon(0), curve) > 0.85
    assert shapely.LinearRing(found.polygon(0)).is_ccw  # y runs down: clockwise as seen


def test_growth_stops_where_the_embedding_differs() -> None:
    text = np.ones((20, 40), np.float32)
    kernel = np.zeros((20, 40), np.float32)
    kernel[8:12, 5:10] = kernel[8:12, 30:35] = 1
    embedding = np.zeros((4, 20, 40), np.float32)
    embedding[0, :, 25:] = 10
    left, right = sorted(pan_boxes(text, kernel, embedding).quads().tolist())
    assert left[1][0] == pytest.approx(24) and right[0][0] == pytest.approx(25)
    embedding[0, :, 25:] = 3  # all alike: they meet half way
    left, right = sorted(pan_boxes(text, kernel, embedding).quads().tolist())
    assert left[1][0] == pytest.approx(19) and right[0][0] == pytest.approx(20)


def test_growth_equals_a_queue_of_single_cells() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        wanted = generator.random((14, 17)) < 0.8
        embedding = generator.normal(0, 2, (3, 14, 17)).astype(np.float32)
        labels = cv2.connectedComponents((generator.random((14, 17)) < 0.05).astype(np.uint8), ltype=cv2.CV_32S)[1]
        expected, front = labels.copy(), list(zip(*np.nonzero(labels), strict=True))
        middle = {k: embedding[:, labels == k].mean(1) for k in np.unique(labels) if k}
        while front:
            later = []
            for y, x in front:
                for b, a in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
                    if 0 <= b < 14 and 0 <= a < 17 and wanted[b, a] and not expected[b, a]:
                        owner = expected[y, x]
                        if np.linalg.norm(embedding[:, b, a] - middle[owner]) < 4:
                            expected[b, a] = owner
                            later.append((b, a))
            front = later
        assert np.array_equal(grown(labels, wanted, embedding, 4.0), expected)


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 5000), (64, 64)])
def test_zeros_and_ones(size: tuple[int, int], polygons: bool) -> None:
    zeros, ones = np.zeros(size, np.float32), np.ones(size, np.float32)
    flat = np.zeros((4, *size), np.float32)
    assert len(pan_boxes(zeros, zeros, flat, polygons=polygons)) == 0
    assert len(pan_boxes(ones, zeros, flat, polygons=polygons)) == 0
    full = pan_boxes(ones, ones, flat, polygons=polygons)
    assert len(full) == (min(size) > 1 or (size == (1, 50) and not polygons))
    if min(size) > 1:
        assert full.points.max(0).tolist() == [size[1] - 1, size[0] - 1]


def test_three_thousand_kernels() -> None:
    text = np.zeros((300, 480), np.float32)
    rows, columns = np.mgrid[0:50, 0:60]
    for row, column in zip(rows.ravel() * 6, columns.ravel() * 8, strict=True):
        text[row : row + 4, column : column + 6] = 1
    embedding = np.zeros((4, 300, 480), np.float32)
    assert len(pan_boxes(text, text, embedding, max_candidates=5000)) == 3000
    assert len(pan_boxes(text, text, embedding)) == 1000


def test_what_is_not_finite_or_does_not_fit_is_refused() -> None:
    good, flat = np.zeros((8, 8), np.float32), np.zeros((4, 8, 8), np.float32)
    flat[2, 3, 4] = np.nan
    with pytest.raises(ValueError, match="holds 1 NaN"):
        pan_boxes(good, good, flat)
    with pytest.raises(ValueError, match="do not fit"):
        pan_boxes(good, good[:4], np.zeros((4, 8, 8), np.float32))
