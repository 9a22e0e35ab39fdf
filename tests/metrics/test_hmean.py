"""IoU hmean, counted by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from ocrctl.metrics.hmean import HmeanCounts, Pairs, match, same_word
from ocrctl.metrics.instances import Instances, from_detections


def box(left: float, top: float, width: float, height: float = 10) -> list[tuple[float, float]]:
    return [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]


def pictures(*each: list[list[tuple[float, float]]], ignore: tuple[int, ...] = (), scores: object = None) -> Instances:
    polygons = [polygon for picture in each for polygon in picture]
    flags = np.zeros(len(polygons), np.bool_)
    flags[list(ignore)] = True
    return Instances(
        np.array([point for polygon in polygons for point in polygon], np.float64).reshape(-1, 2),
        np.cumsum([0, *map(len, polygons)]),
        np.cumsum([0, *map(len, each)]),
        flags,
        [""] * len(polygons),
        None if scores is None else np.asarray(scores, np.float64),
    )


def test_hits_misses_and_false_ones() -> None:
    truth = pictures([box(0, 0, 40), box(100, 0, 40), box(0, 50, 40)], [box(0, 0, 40)], [])
    found = pictures([box(2, 0, 40), box(0, 52, 40), box(300, 0, 40)], [], [box(0, 0, 40)])
    matching = match(truth, found)
    assert matching.truth_match.tolist() == [0, -1, 1, -1] and matching.found_match.tolist() == [0, 2, -1, -1]
    assert matching.missed.tolist() == [False, True, False, True]
    assert matching.false.tolist() == [False, False, True, True]
    assert matching.by_image() == [HmeanCounts(3, 3, 2), HmeanCounts(1, 0, 0), HmeanCounts(0, 1, 0)]
    total = matching.total()
    assert total == HmeanCounts(4, 4, 2)
    assert (total.recall, total.precision, total.hmean) == (0.5, 0.5, 0.5)


def test_half_is_not_more_than_half() -> None:
    truth = pictures([box(0, 0, 40)])
    assert match(truth, pictures([box(0, 0, 20)])).total().matched == 0
    assert match(truth, pictures([box(0, 0, 20.1)])).total().matched == 1
    ignored = pictures([box(0, 0, 40)], ignore=(0,))
    assert match(ignored, pictures([box(20, 0, 40)])).total() == HmeanCounts(0, 1, 0)
    assert match(ignored, pictures([box(19, 0, 40)])).total() == HmeanCounts(0, 0, 0)


def test_left_out_detections_match_nothing() -> None:
    # More than half of the detection lies on the do-not-care polygon, and it would be a good match as well.
    truth = pictures([box(0, 0, 40), box(0, 0, 41)], ignore=(1,))
    assert match(truth, pictures([box(0, 0, 40)])).total() == HmeanCounts(1, 0, 0)


def test_first_comes_first_served() -> None:
    # As the official script: the first polygon takes the first detection that will do, not the best.
    truth = pictures([box(0, 0, 40), box(4, 0, 40)])
    matching = match(truth, pictures([box(4, 0, 40), box(0, 0, 40)]))
    assert matching.truth_match.tolist() == [0, 1]
    truth = pictures([box(0, 0, 40)])
    assert match(truth, pictures([box(8, 0, 40), box(0, 0, 40)])).total() == HmeanCounts(1, 2, 1)


def test_merged() -> None:
    truth = pictures([box(0, 0, 40), box(50, 0, 40), box(200, 0, 40)])
    matching = match(truth, pictures([box(0, 0, 90), box(200, 0, 40)]))
    assert matching.merged.tolist() == [True, False] and matching.total() == HmeanCounts(3, 2, 1)


def test_rows_by_size_add_up() -> None:
    truth = pictures([box(0, 0, 40, 5), box(0, 20, 40, 10), box(0, 50, 90, 30)])
    found = pictures([box(0, 20, 40, 10), box(0, 50, 90, 30), box(0, 200, 90, 200)])
    rows = match(truth, found).by_size()
    assert rows == [
        (0.0, HmeanCounts(1, 0, 0)),
        (8.0, HmeanCounts(1, 1, 1)),
        (24.0, HmeanCounts(1, 1, 1)),
        (64.0, HmeanCounts(0, 1, 0)),
    ]


def test_thresholds() -> None:
    truth = pictures([box(0, 0, 40), box(100, 0, 40)])
    pairs = Pairs(truth, pictures([box(0, 0, 40), box(100, 0, 40), box(300, 0, 40)], scores=[0.9, 0.4, 0.5]))
    assert pairs.match().total() == HmeanCounts(2, 3, 2)
    assert pairs.match(0.4).total() == HmeanCounts(2, 3, 2)
    assert pairs.match(0.45).total() == HmeanCounts(2, 2, 1)
    assert pairs.match(0.95).total() == HmeanCounts(2, 0, 0)
    with pytest.raises(ValueError, match="no scores"):
        match(truth, pictures([box(0, 0, 40)]), 0.5)


def test_curved_polygons_and_broken_ones() -> None:
    arc = [(x, 20 + y) for x, y in ((0, 10), (20, 2), (40, 0), (60, 2), (80, 10), (78, 20), (40, 10), (2, 20))]
    truth = pictures([arc, [(0.0, 0.0)], [(5.0, 5.0), (9.0, 9.0)]])
    moved = [(x + 2, y) for x, y in arc]
    assert match(truth, pictures([moved, [(0.0, 0.0)]])).total() == HmeanCounts(3, 2, 1)


def test_polygons_that_cross_themselves_are_dropped_from_both_sides() -> None:
    bow = [(0.0, 0.0), (40.0, 10.0), (40.0, 0.0), (0.0, 10.0)]
    flat = [(0.0, 0.0), (40.0, 0.0), (80.0, 0.0), (20.0, 0.0)]
    truth = pictures([box(0, 0, 40), bow], [bow], [box(0, 0, 40)])
    found = pictures([bow, box(0, 0, 40), flat], [box(0, 0, 40)], [])
    matching = match(truth, found)
    assert matching.by_image() == [HmeanCounts(1, 1, 1), HmeanCounts(0, 1, 0), HmeanCounts(1, 0, 0)]
    assert matching.dropped_by_image() == ([1, 1, 0], [2, 0, 0])
    assert matching.missed.tolist() == [False, False, False, True] and matching.false.tolist() == [
        False,
        False,
        False,
        True,
    ]
    # A do-not-care polygon that is dropped leaves no detection out.
    matching = match(pictures([bow], ignore=(0,)), pictures([box(0, 0, 40)]))
    assert matching.total() == HmeanCounts(0, 1, 0) and matching.truth_dropped.tolist() == [True]


def test_images_have_to_fit() -> None:
    with pytest.raises(ValueError, match="2 images of polygons, but 1"):
        match(pictures([], []), pictures([]))
    with pytest.raises(ValueError, match="1 coordinates are not finite"):
        pictures([[(0, 0), (float("nan"), 0), (4, 4), (0, 4)]])


@dataclass
class Boxes:
    points: NDArray[np.float32]
    offsets: NDArray[np.int64]
    scores: NDArray[np.float32]


def test_from_detections() -> None:
    one = Boxes(np.array(box(0, 0, 40), np.float32), np.array([0, 4]), np.array([0.5], np.float32))
    none = Boxes(np.zeros((0, 2), np.float32), np.array([0]), np.zeros(0, np.float32))
    found = from_detections([none, one, none])
    assert found.spans.tolist() == [0, 0, 1, 1] and found.num_images == 3
    assert match(pictures([], [box(0, 0, 40)], []), found).by_image()[1] == HmeanCounts(1, 1, 1)
    assert from_detections([none]).num_images == 1


def test_reading() -> None:
    matching = match(pictures([box(0, 0, 40), box(100, 0, 40)]), pictures([box(100, 0, 40), box(0, 0, 40)]))
    read = matching.reading(["one", "two"], ["two", "on"])
    assert read.total() == HmeanCounts(2, 2, 1) and read.truth_match.tolist() == [-1, 0]
    assert matching.total() == HmeanCounts(2, 2, 2)


def test_same_word() -> None:
    for truth, read in (("Word", "wORD"), ("word.", "word"), ("(word", "word"), ("(word)", "word"), ("", "")):
        assert same_word(truth, read), (truth, read)
    for truth, read in (("word", "word."), ("word-", "word"), ("wo.rd", "word"), ("((word", "word"), ("", "a")):
        assert not same_word(truth, read), (truth, read)
