"""DB postprocess: targets come back as the boxes they were made from, and odd maps have a defined result."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.models.dbnet.postprocess import db_boxes
from ocrctl.models.dbnet.targets import db_targets
from ocrctl.models.outlines.detections import Detections, check_map
from ocrctl.models.outlines.rectangles import Rectangles


def kernels(*polygons: object, height: int = 200, width: int = 300) -> np.ndarray:
    arrays = [np.asarray(polygon, float) for polygon in polygons]
    offsets = np.cumsum([0, *(len(array) for array in arrays)])
    found = db_targets(np.concatenate(arrays), offsets, np.zeros(len(arrays), bool), height, width)
    return found["shrink"].astype(np.float32)


def overlap(one: object, two: object) -> float:
    a, b = shapely.Polygon(one), shapely.Polygon(two)
    return a.intersection(b).area / a.union(b).area


@settings(max_examples=25, deadline=None)
@given(st.floats(24, 90), st.floats(1, 5), st.floats(-90, 90), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_a_kernel_grows_back_to_its_rectangle(height: float, ratio: float, angle: float, dx: float, dy: float) -> None:
    width = min(height * ratio, 180)
    box = cv2.boxPoints(((150 + dx, 100 + dy), (width, height), angle)).astype(float)
    if (box < 1).any() or (box > (299, 199)).any():
        return
    found = db_boxes(kernels(box), unclip=None)
    assert len(found) == 1 and found.scores[0] > 0.75
    assert overlap(found.quads()[0], box) > 0.86 if height < 40 else overlap(found.quads()[0], box) > 0.9


def test_a_curve_grows_back_to_its_outline() -> None:
    along = np.linspace(0, 1, 9)
    top = np.stack([30 + along * 240, 120 - 90 * np.sin(along * 3)], 1)
    curve = np.concatenate([top, np.add(top, [0, 50])[::-1]])
    found = db_boxes(kernels(curve), unclip=None, polygons=True)
    assert len(found) == 1 and len(found.polygon(0)) > 6
    assert overlap(found.polygon(0), curve) > 0.8
    assert shapely.LinearRing(found.polygon(0)).is_ccw  # y runs down: clockwise as seen


def test_unclip_takes_area_over_outline() -> None:
    values = np.zeros((100, 200), np.float32)
    values[40:61, 50:151] = 0.9  # 100 x 20 between the outermost pixels: D = 2000 * 1.5 / 240
    found = db_boxes(values)
    assert np.allclose(found.quads(), [[[37.5, 27.5], [162.5, 27.5], [162.5, 72.5], [37.5, 72.5]]], atol=0.01)
    assert found.scores == pytest.approx([0.9])
    assert np.allclose(found.scaled(2, 4).quads()[0, 2], [325, 290], atol=0.05)


@settings(max_examples=25, deadline=None)
@given(st.floats(12, 60), st.floats(1, 5), st.floats(-90, 90))
def test_whole_pixels_round_the_same_boxes(height: float, ratio: float, angle: float) -> None:
    box = cv2.boxPoints(((150.3, 100.6), (min(height * ratio, 120), height), angle)).astype(float)
    values = kernels(box)
    exact, whole = db_boxes(values).quads(), db_boxes(values, whole_pixels=True).quads()
    assert len(exact) == len(whole)
    assert (whole == np.rint(whole)).all()
    assert all(overlap(a, b) > 0.75 for a, b in zip(exact, whole, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 30))
def test_the_least_rectangle_around_a_grown_quad(seed: int, distance: float) -> None:
    quads = np.random.default_rng(seed).integers(0, 100, (20, 4, 2)).astype(float)
    convex = [shapely.MultiPoint(quad).convex_hull for quad in quads]
    rings = [np.array(hull.exterior.coords) for hull in convex if isinstance(hull, shapely.Polygon)]
    quads = np.array([ring[:4] for ring in rings if len(ring) == 5])
    if not len(quads):
        return
    found = Rectangles.from_expanded_quads(quads, np.full(len(quads), distance))
    for quad, corners in zip(quads, found.corners(), strict=True):
        grown = shapely.Polygon(quad).buffer(distance, quad_segs=32)
        assert shapely.Polygon(corners).buffer(1e-6).contains(grown)
        turned = [shapely.affinity.rotate(grown, -angle).envelope.area for angle in edge_angles(quad)]
        assert shapely.Polygon(corners).area == pytest.approx(min(turned), rel=0.01, abs=0.1)


def edge_angles(quad: np.ndarray) -> np.ndarray:
    along = np.roll(quad, -1, axis=0) - quad
    return np.rad2deg(np.arctan2(along[:, 1], along[:, 0]))


def test_boxes_come_from_the_top_down_and_are_cut_to_the_map() -> None:
    values = np.zeros((100, 200), np.float32)
    values[70:90, 0:60], values[10:30, 100:199], values[40:60, 20:90] = 0.9, 0.7, 0.8
    found = db_boxes(values)
    assert found.scores == pytest.approx([0.7, 0.8, 0.9])
    assert found.points.min() >= 0 and (found.points <= (200, 100)).all()


@pytest.mark.parametrize("polygons", [False, True])
def test_weak_small_and_hollow_regions(polygons: bool) -> None:
    values = np.zeros((100, 200), np.float32)
    values[10:30, 10:60] = 0.5  # above the threshold, below the box threshold
    values[10:12, 100:160] = 0.9  # too low
    values[50:90, 20:120] = 0.9
    values[60:80, 40:100] = 0.1  # a hole is no box of its own
    found = db_boxes(values, box_threshold=0.55, polygons=polygons)
    assert len(found) == 1
    assert len(db_boxes(values, box_threshold=0.45, polygons=polygons)) == 2


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 3), (200, 20000), (64, 64)])
def test_maps_of_zeros_and_ones(size: tuple[int, int], polygons: bool) -> None:
    assert len(db_boxes(np.zeros(size, np.float32), polygons=polygons)) == 0
    full = db_boxes(np.ones(size, np.float32), polygons=polygons)
    assert len(full) == (1 if min(size) > 3 else 0)
    if len(full):
        assert overlap(full.polygon(0), [[0, 0], [size[1], 0], size[::-1], [0, size[0]]]) > 0.99
        assert full.scores[0] == 1


@pytest.mark.parametrize("polygons", [False, True])
def test_three_thousand_tiny_regions(polygons: bool) -> None:
    values = np.zeros((736, 1280), np.float32)
    rows, columns = np.mgrid[0:50, 0:60]
    for row, column in zip(rows.ravel() * 14 + 2, columns.ravel() * 20 + 2, strict=True):
        values[row : row + 6, column : column + 11] = 0.9
    values[2:9, 2:15] = 0.9  # the largest
    assert len(db_boxes(values, max_candidates=5000, polygons=polygons)) == 3000
    some = db_boxes(values, polygons=polygons)
    assert len(some) == 1000 and some.points[some.offsets[0]].min() < 5


def test_noise_does_not_take_for_ever() -> None:
    noise = np.random.default_rng(0).random((736, 1280), np.float32)
    assert len(db_boxes(noise)) < 1000
    assert len(db_boxes(noise, polygons=True)) < 1000


def test_what_is_not_finite_is_refused() -> None:
    values = np.zeros((20, 30), np.float32)
    values[3, 4:16] = np.nan
    with pytest.raises(ValueError, match="the model's output holds 12 NaN"):
        db_boxes(values)
    values[5, 5] = -np.inf
    with pytest.raises(ValueError, match="12 NaN and 1 infinite value"):
        db_boxes(values)
    with pytest.raises(ValueError, match="shape"):
        db_boxes(np.zeros((2, 20, 30), np.float32))
    with pytest.raises(ValueError, match="not empty"):
        db_boxes(np.zeros((0, 30), np.float32))
    assert np.array_equal(check_map(np.full((2, 2), 1e30, np.float32)), np.full((2, 2), 1e30, np.float32))


def test_detections_hold_quads_or_polygons() -> None:
    found = Detections.from_polygons([np.ones((5, 2)), np.zeros((4, 2))], np.array([0.5, 1]))
    assert len(found) == 2 and len(found.polygon(0)) == 5
    with pytest.raises(ValueError, match="outline 0 has 5 points"):
        found.quads()
    assert Detections.from_polygons([], np.zeros(0)).quads().shape == (0, 4, 2)
