"""DB targets against distances that shapely measures point by point, and on input of every odd kind."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.data.polygons.distance import outlines
from ocrctl.models.dbnet.targets import db_targets

HEIGHT, WIDTH = 40, 56
GRID = shapely.points(*np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)))
corner = st.tuples(st.floats(-15, 75), st.floats(-15, 60))


def targets(*polygons: object, ignore: tuple[int, ...] = (), height: int = HEIGHT, width: int = WIDTH) -> dict:
    arrays = [np.asarray(polygon, float) for polygon in polygons]
    offsets = np.cumsum([0, *(len(array) for array in arrays)])
    flags = np.isin(np.arange(len(arrays)), ignore)
    return db_targets(np.concatenate([np.zeros((0, 2)), *arrays]), offsets, flags, height, width)


def expected(polygon: np.ndarray) -> tuple[np.ndarray, float]:
    """Signed distances at every pixel and the offset, both by shapely."""
    shape = shapely.Polygon(polygon)
    shapely.prepare(shape)
    away = shapely.distance(shape.exterior, GRID)
    return np.where(shapely.contains(shape, GRID), away, -away), shape.area * (1 - 0.16) / shape.length


def agree(polygon: np.ndarray) -> None:
    away, reach = expected(polygon)
    found = targets(polygon)
    level = np.abs(away) / reach
    assert np.abs(found["border"] - (0.7 - 0.4 * np.minimum(level, 1))).max() < 1e-3
    sure = np.abs(away + reach) > 0.01  # pixels not on the very edge, where a rounding decides
    assert ((found["border_mask"] == 1) == (away > -reach))[sure].all()
    sure = np.abs(away - reach + 0.5) > 0.01
    if reach > 2:
        assert ((found["shrink"] == 1) == (away >= reach - 0.5))[sure].all()
    assert found["shrink_mask"].all()


@settings(max_examples=30, deadline=None)
@given(st.lists(corner, min_size=4, max_size=4))
def test_any_quad_has_the_distances_of_its_outline(corners: list[tuple[float, float]]) -> None:
    quad = shapely.convex_hull(shapely.MultiPoint(corners))
    if quad.geom_type == "Polygon" and outlines(shapely.get_coordinates(quad)[:-1], [0, len(quad.exterior.coords) - 1]
                                                ).lower_sides()[0] > 3.1:  # fmt: skip
        points = shapely.get_coordinates(quad)[:-1]
        agree(points)
        agree(points[::-1])


def test_a_concave_quad_and_a_curve() -> None:
    agree(np.array([[10, 5], [52, 7], [25, 20], [12, 38]], float))
    along = np.linspace(0, 1, 7)
    top = np.stack([5 + along * 46, 24 - 18 * np.sin(along * 3)], 1)
    agree(np.concatenate([top, np.add(top, [0, 12])[::-1]]))


def test_a_repeated_point_changes_nothing() -> None:
    once = targets([[10, 10], [60, 10], [60, 30], [10, 30]])
    twice = targets([[10, 10], [10, 10], [60, 10], [60, 30], [10, 30]])
    assert all(np.allclose(once[name], twice[name], atol=1e-5) for name in once)


def test_texts_that_overlap_take_the_highest_threshold_and_both_kernels() -> None:
    one, two = [[5, 5], [40, 5], [40, 25], [5, 25]], [[30, 15], [55, 15], [55, 38], [30, 38]]
    first, second, both = targets(one), targets(two), targets(one, two)
    assert np.array_equal(both["border"], np.maximum(first["border"], second["border"]))
    for name in ("shrink", "border_mask"):
        assert np.array_equal(both[name], first[name] | second[name])


def test_ignored_and_tiny_texts_are_not_judged() -> None:
    found = targets([[5, 5], [40, 5], [40, 25], [5, 25]], [[45, 30], [55, 30], [55, 32], [45, 32]], ignore=(0,))
    assert not found["shrink"].any() and not found["border_mask"].any()
    assert found["shrink_mask"][15, 20] == 0 and found["shrink_mask"][31, 50] == 0 and found["shrink_mask"][36, 40]
    assert (found["border"] == np.float32(0.3)).all()


@pytest.mark.parametrize("size", [(1, 1), (200, 20000), (60, 80)])
def test_no_text(size: tuple[int, int]) -> None:
    found = targets(height=size[0], width=size[1])
    assert all(found[name].shape == size for name in found)
    assert not found["shrink"].any() and found["shrink_mask"].all() and not found["border_mask"].any()
    assert [found[name].dtype.name for name in ("shrink", "shrink_mask", "border", "border_mask")] == [
        "uint8", "uint8", "float32", "uint8"]  # fmt: skip


def test_one_giant_polygon_on_a_strip_and_on_one_pixel() -> None:
    strip = targets([[0, 0], [20000, 0], [20000, 200], [0, 200]], height=200, width=20000)
    assert strip["shrink"][100, 10000] and not strip["shrink"][30, 10000] and strip["border_mask"].all()
    point = targets([[-500, -500], [500, -500], [500, 500], [-500, 500]], height=1, width=1)
    assert point["shrink"].all() and point["border_mask"].all() and point["border"][0, 0] == np.float32(0.3)


def test_three_thousand_tiny_texts() -> None:
    x, y = np.meshgrid(np.arange(60) * 10.0, np.arange(50) * 10.0)
    quads = np.add(np.stack([x, y], -1).reshape(-1, 1, 2), [[0, 0], [8, 0], [8, 5], [0, 5]])
    found = targets(*quads, height=500, width=600)
    assert found["shrink"].sum() >= 3000 and found["shrink_mask"].all()


def test_texts_outside_the_image_leave_no_mark() -> None:
    found = targets([[500, 500], [540, 500], [540, 520], [500, 520]], [[-90, -90], [-50, -90], [-50, -70], [-90, -70]])
    assert not found["shrink"].any() and not found["border_mask"].any()


def test_what_no_polygon_is_is_refused() -> None:
    with pytest.raises(ValueError, match="polygon 0 has 2 points"):
        targets([[0, 0], [1, 1]])
    with pytest.raises(ValueError, match="1 coordinates are not finite"):
        targets([[0, 0], [10, 0], [10, np.nan]])
    flat = targets([[0, 0], [30, 0], [60, 0]])
    assert not flat["shrink"].any()
