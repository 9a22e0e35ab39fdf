from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocrctl.data.polygons.columns import boxes
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.polygons.fixes import clamp, repair, replaced, start_top_left, to_displayed
from ocrctl.data.polygons.pair_rules import check_pairs
from ocrctl.data.polygons.rules import check_polygons

POINT = st.tuples(st.integers(0, 40), st.integers(0, 40))
GOOD = [[10, 10], [60, 10], [60, 30], [10, 30]]


def columns(polygons: list) -> tuple[np.ndarray, np.ndarray]:
    flat = [np.asarray(polygon, float).reshape(-1, 2) for polygon in polygons]
    return np.concatenate(flat), np.concatenate(([0], np.cumsum([len(polygon) for polygon in flat]))).astype(np.int64)


def check(polygons: list, size: float = 100, lengths: list[int] | None = None) -> dict[str, list[int]]:
    points, offsets = columns(polygons)
    sides = np.full(len(polygons), size)
    found = check_polygons(points, offsets, sides, sides, None if lengths is None else np.asarray(lengths))
    return {hits.code.name: hits.indices.tolist() for hits in found.sorted()}


@pytest.mark.parametrize(
    ("polygon", "names"),
    [
        (GOOD, []),
        ([[1, 1], [5, 5]], ["too-few-points"]),
        ([], ["too-few-points"]),
        ([[1, 1], [float("nan"), 5], [5, 9]], ["not-finite"]),
        ([[1, 1], [1e9, 5], [5, 9]], ["not-finite"]),
        ([[10, 10], [60, 10], [30, 10], [20, 10]], ["no-area", "spike"]),
        ([[10, 10], [60, 30], [60, 10], [10, 30]], ["self-intersecting"]),
        ([[10, 10], [60, 10], [60, 10], [60, 30], [10, 30]], ["repeated-points"]),
        (GOOD[::-1], ["counter-clockwise"]),
        (GOOD[2:] + GOOD[:2], ["start-not-top-left"]),
        ([[10, 10], [60, 10], [90, 10], [60, 10.2], [60, 30], [10, 30]], ["spike"]),
        ([[80, 10], [104, 10], [104, 30], [80, 30]], ["out-of-bounds"]),
        ([[101, 10], [150, 10], [150, 30], [101, 30]], ["outside"]),
        ([[10, 10], [60, 10], [60, 12], [10, 12]], ["tiny"]),
        ([[50, 10], [90, 90], [10, 40], [90, 40], [10, 90]], ["self-intersecting"]),  # a star turns one way only
        ([[50, 10], [90, 50], [50, 90], [10, 50]], []),  # no corner is the top left one
        ([[0, 0], [100, 0], [100, 100], [0, 100]], []),  # the edge belongs to the image
    ],
)
def test_each_rule(polygon: list, names: list[str]) -> None:
    found = check([GOOD, polygon, GOOD])
    assert found == {name: [1] for name in names} or set(found) - {"spike"} == set(names) - {"spike"}
    assert all(indices == [1] for indices in found.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(POINT, min_size=4, max_size=4), min_size=1, max_size=4))
def test_a_polygon_is_judged_alike_in_any_company(quads: list) -> None:
    alone = check(quads)
    star = [[50, 10], [90, 90], [10, 40], [90, 40], [10, 90]]
    together = check([quad for pair in zip(quads, [star] * len(quads), strict=True) for quad in pair])
    assert {name: [2 * i for i in found] for name, found in alone.items()} == {
        name: even for name, found in together.items() if (even := [i for i in found if i % 2 == 0])
    }
    assert together["self-intersecting"][-1] == 2 * len(quads) - 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(POINT, max_size=6) | st.just(GOOD), min_size=1, max_size=6))
def test_boxes_around_what_is_judged(polygons: list) -> None:
    points, offsets = columns(polygons)
    sides, around = np.full(len(polygons), 100.0), np.full((4, len(polygons)), -7.0)
    check_polygons(points, offsets, sides, sides, None, around)
    judged = np.diff(offsets) >= 3
    assert np.array_equal(around[:, judged], boxes(points, offsets)[:, judged]) and (around[:, ~judged] == -7).all()


def test_bounds_measure_and_unknown_sizes_are_not_judged() -> None:
    points, offsets = columns([[[-3, 10], [60, 10], [60, 108.5], [10, 30]]])
    hits = check_polygons(points, offsets, np.array([100.0]), np.array([100.0])).hits["P010"]
    assert hits.values is not None and hits.values[0] == 8.5 and "8.5 pixels" in hits.message(0)
    nowhere = np.array([np.nan])
    assert not check_polygons(points, offsets, nowhere, nowhere).hits


def test_a_box_far_larger_than_its_text() -> None:
    strip = [[0, 10], [90, 10], [90, 15], [0, 15]]
    assert check([strip, strip, strip], lengths=[1, 9, 0]) == {"box-too-large": [0]}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(POINT, min_size=3, max_size=9), min_size=1, max_size=9))
def test_crossings_agree_with_shapely(polygons: list) -> None:
    found = check(polygons)
    for index, polygon in enumerate(polygons):
        area = abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True))) / 2
        if area < 1 or index in found.get("repeated-points", []) or index in found.get("spike", []):
            continue
        simple = shapely.LinearRing(polygon).is_simple
        if len(polygon) > 4:
            assert (index in found.get("self-intersecting", [])) == (not simple)
        elif simple:
            assert index not in found.get("self-intersecting", [])


@settings(max_examples=60, deadline=None)
@example([(0, 0), (10, 9), (10, 0), (9, 8), (0, 1)])
@given(st.lists(POINT, min_size=3, max_size=9))
def test_repair_leaves_nothing_to_repair(polygon: list) -> None:
    mended = repair(np.asarray(polygon, float))
    if len(mended) >= 3:
        names = set(check([mended]))
        assert not names & {"self-intersecting", "counter-clockwise", "repeated-points", "too-few-points"}
        assert np.array_equal(repair(mended), mended)


CURVE = [[20, 100], [80, 96], [140, 100], [140, 120], [80, 116], [20, 120]]


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ([GOOD[0], *GOOD[:0:-1]], GOOD),  # down first
        ([GOOD[1], GOOD[0], GOOD[3], GOOD[2]], GOOD),  # mirrored: from the top right to the left
        ([[90, 10], [8, 30], [0, 52], [99, 32]], [[8, 30], [90, 10], [99, 32], [0, 52]]),  # slanted, mirrored
        ([[30, 0], [10, 0], [10, 60], [30, 60]], [[10, 0], [30, 0], [30, 60], [10, 60]]),  # tall, mirrored
        ([[20, 0], [0, 20], [20, 40], [40, 20]], [[20, 0], [40, 20], [20, 40], [0, 20]]),  # no corner is the top left
        (CURVE[:3] + CURVE[:2:-1], CURVE),  # both sides from left to right
        (CURVE[::-1], CURVE),  # the lower side first
        ([CURVE[0], *CURVE[:1], *CURVE[2:]], [[20, 100], [80, 100], *CURVE[2:]]),  # the middle is where the start is
        ([*CURVE[:4], *CURVE[3:4], CURVE[5]], [*CURVE[:4], [80, 120], CURVE[5]]),
        ([*CURVE[:2], CURVE[1], *CURVE[3:]], [CURVE[0], [50, 98], CURVE[1], *CURVE[3:]]),  # the last of its side
        (CURVE[:1] + CURVE[:0:-1], CURVE),  # from the same point the other way round
        (CURVE[2::-1] + CURVE[:2:-1], CURVE),  # mirrored
        ([[0, 0], [99, 0], [99, 20], [98.9, 20], [99.1, 19.9], [0, 20]], 4),  # a corner that crosses itself
        ([[0, 0], [40, 0], [90, 30], [90, 0], [50, 20], [0, 30], [9, 9]], 0),  # two lobes: which is the word?
    ],
)
def test_repair_keeps_the_word_or_leaves_the_outline_alone(broken: list, mended: list | int) -> None:
    found = repair(np.asarray(broken, float))
    if isinstance(mended, int):
        assert (len(found) >= mended > 0) or len(found) == mended
    else:
        assert found.tolist() == mended


def test_duplicates_and_overlaps() -> None:
    shifted = (np.asarray(GOOD) + 2).tolist()
    near = np.add(GOOD, [4, 0]).tolist()
    points, offsets = columns([GOOD, GOOD, near, GOOD, shifted, [[1, 1]]])
    findings = Findings()
    findings.add("too-few-points", [5])
    check_pairs(findings, points, offsets, np.array([0, 0, 0, 1, 1, 1], np.int32), ["a", "b", "c", "a", "a", ""])
    assert findings.hits["P020"].indices.tolist() == [1] and "'a'" in findings.hits["P020"].message(0)
    overlap = findings.hits["P021"]
    assert overlap.indices.tolist() == [2, 4] and overlap.values is not None
    assert overlap.values == pytest.approx([46 / 54, (48 * 18) / (2000 - 48 * 18)])


def test_fixes() -> None:
    points, offsets = columns([GOOD, [[-5, 10], [120, 10], [60, 30]]])
    moved = clamp(points, offsets, np.array([1]), np.full(2, 100.0), np.full(2, 100.0))
    assert moved[:4].tolist() == GOOD and moved[4:].tolist() == [[0, 10], [100, 10], [60, 30]]
    assert start_top_left(np.asarray(GOOD[2:] + GOOD[:2])).tolist() == GOOD
    new, ends = replaced(points, offsets, [(0, np.asarray(GOOD[:3], float))])
    assert ends.tolist() == [0, 3, 6] and new[3:].tolist() == points[4:].tolist()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_points_follow_the_pixels_when_exif_turns_an_image(orientation: int) -> None:
    import io

    from PIL import Image, ImageOps

    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[4:8, 11:19] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    box = to_displayed(np.array([[11.0, 4], [19, 4], [19, 8], [11, 8]]), orientation, 50, 30)
    (x1, y1), (x2, y2) = box.min(0).astype(int), box.max(0).astype(int)
    assert shown[y1:y2, x1:x2].min() == 255 and shown.sum() == shown[y1:y2, x1:x2].sum()
