"""Shared areas of polygons, against shapely and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ocrctl.metrics.iou import areas, bounds, even_odd, heights, meeting, shared_areas

BOX = [[0, 0], [10, 0], [10, 10], [0, 10]]
BOW = [[0, 0], [10, 10], [10, 0], [0, 10]]  # crosses itself in the middle


def flat(*polygons: list[list[float]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    points = np.array([point for polygon in polygons for point in polygon], np.float64).reshape(-1, 2)
    return points, np.cumsum([0, *map(len, polygons)]).astype(np.int64)


def shared(one: list[list[float]], two: list[list[float]]) -> float:
    return float(shared_areas(*flat(one), *flat(two), np.array([0]), np.array([0]))[0])


def test_areas_and_heights() -> None:
    strip = [[0, 0], [20, 0], [40, 0], [40, 8], [20, 8], [0, 8]]
    points, offsets = flat(BOX, [[0, 0], [5, 5]], [], BOW, strip, BOX[::-1])
    assert areas(points, offsets).tolist() == [100, 0, 0, 0, 320, 100]
    assert heights(points, offsets)[[0, 1, 2, 4]] == pytest.approx([10, 0, 0, 8])


def test_shared_by_hand() -> None:
    assert shared(BOX, [[5, 5], [15, 5], [15, 15], [5, 15]]) == 25
    assert shared(BOX, BOX) == 100 and shared(BOX, BOX[::-1]) == 100
    assert shared(BOX, [[10, 0], [20, 0], [20, 10], [10, 10]]) == 0  # side by side
    assert shared(BOX, [[5, -5], [15, 5], [5, 15], [-5, 5]]) == pytest.approx(100)  # a diamond through its corners
    assert shared(BOX, [[2, 2], [8, 2], [8, 8], [2, 8]]) == 36
    assert shared(BOX, BOW) == pytest.approx(50)  # two triangles of it
    assert shared(BOX, [[0, 0], [10, 5], [0, 10], [3, 5]]) == pytest.approx(35)  # dented
    assert shared(BOX, [[0, 0], [10, 0], [10, 0], [0, 0]]) == 0  # flat


def test_only_polygons_of_the_same_image_meet() -> None:
    points, offsets = flat(BOX, BOX, [[0, 0], [9, 9]])
    boxes = bounds(points, offsets)
    first, second = meeting(boxes, np.array([0, 1, 3]), boxes, np.array([0, 1, 3]))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 0), (1, 1)]


def test_far_from_the_origin() -> None:
    far = [[x + 1e6, y + 1e6] for x, y in BOX]
    assert shared(far, [[x + 0.5, y] for x, y in far]) == pytest.approx(95)


quad = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=4, max_size=4).map(
    lambda points: [list(point) for point in points]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(quad, min_size=1, max_size=6), st.lists(quad, min_size=1, max_size=6), st.booleans())
def test_wild_quads_share_what_shapely_says(
    ones: list[list[list[float]]], twos: list[list[list[float]]], convex: bool
) -> None:
    if convex:  # the quick way
        ones, twos = ([_hull_quad(q) for q in side] for side in (ones, twos))
    one, two = flat(*ones), flat(*twos)
    first, second = (grid.ravel() for grid in np.indices((len(ones), len(twos))))
    expected = shapely.area(
        shapely.intersection(even_odd(*one, np.arange(len(ones)))[first], even_odd(*two, np.arange(len(twos)))[second])
    )
    assert shared_areas(*one, *two, first, second) == pytest.approx(expected, abs=1e-9)


def _hull_quad(points: list[list[float]]) -> list[list[float]]:
    hull = shapely.convex_hull(shapely.MultiPoint(points))
    corners = list(hull.exterior.coords)[:-1] if hull.geom_type == "Polygon" else points
    return [list(corners[min(i, len(corners) - 1)]) for i in range(4)]
