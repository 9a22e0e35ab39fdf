"""CLEval: counts derived by hand from the paper's rules, and what they must hold on wild input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.metrics.cleval import CharCounts, CLEvalCounts, Rules, cleval
from ocrctl.metrics.cleval_text import common_subsequence, reading_order, take
from ocrctl.metrics.instances import Instances

Box = tuple[list[tuple[float, float]], str]


def box(left: float, top: float, width: float, text: str = "", height: float = 10) -> Box:
    return [(left, top), (left + width, top), (left + width, top + height), (left, top + height)], text


def pictures(*each: list[Box], ignore: tuple[int, ...] = ()) -> Instances:
    boxes = [one for picture in each for one in picture]
    flags = np.zeros(len(boxes), np.bool_)
    flags[list(ignore)] = True
    return Instances(
        np.array([point for polygon, _ in boxes for point in polygon], np.float64).reshape(-1, 2),
        np.cumsum([0, *(len(polygon) for polygon, _ in boxes)]),
        np.cumsum([0, *map(len, each)]),
        flags,
        [text for _, text in boxes],
    )


def counts(
    truth: list[Box], found: list[Box], ignore: tuple[int, ...] = (), rules: Rules | None = None
) -> CLEvalCounts:
    return cleval(pictures(truth, ignore=ignore), pictures(found), True, rules).total()


def test_one_to_one() -> None:
    total = counts([box(0, 0, 40, "word")], [box(0, 0, 40, "ward")])
    assert total == CLEvalCounts(CharCounts(4, 4, 4, 4, 0, 0, 0), CharCounts(4, 4, 3, 3, 0, 0, 1), 0, 0, 0)
    assert (total.det.recall, total.det.precision, total.det.hmean) == (1, 1, 1)
    assert total.e2e is not None and total.e2e.hmean == 0.75


def test_half_found() -> None:
    # Centres at 5, 15, 25, 35: the detection holds two of four, and all of it lies on the word.
    total = counts([box(0, 0, 40, "word")], [box(0, 0, 20, "wo")])
    assert total.det == CharCounts(4, 2, 2, 2, 0, 0, 0) and total.e2e == CharCounts(4, 2, 2, 2, 0, 0, 0)
    assert total.det.recall == 0.5 and total.det.precision == 1


def test_split_costs_a_character() -> None:
    total = counts([box(0, 0, 40, "word")], [box(20, 0, 20, "rd"), box(0, 0, 20, "wo")])
    assert total.num_splitted == 1 and total.num_merged == 0
    assert total.det == CharCounts(4, 4, 4, 4, 1, 0, 0)
    assert total.e2e == CharCounts(4, 4, 4, 4, 1, 0, 0)  # read in the order of the characters, not of the detections
    assert total.det.recall == 0.75 and total.det.precision == 1


def test_merge_costs_a_character() -> None:
    total = counts([box(0, 0, 40, "word"), box(50, 0, 30, "two")], [box(0, 0, 80, "word two")])
    assert total.num_merged == 1 and total.num_splitted == 0
    assert total.det == CharCounts(7, 7, 7, 7, 0, 1, 0)
    assert total.e2e == CharCounts(7, 8, 7, 7, 0, 1, 1)  # the space is in no word
    assert total.det.precision == 6 / 7


def test_found_twice() -> None:
    total = counts([box(0, 0, 40, "word")], [box(0, 0, 40, "word"), box(0, 0, 40, "word")])
    assert total.num_char_overlapped == 4 and total.num_splitted == 1
    assert total.det == CharCounts(4, 8, 4, 4, 1, 0, 0)
    assert total.e2e == CharCounts(4, 8, 4, 4, 1, 0, 4)


def test_nothing_there() -> None:
    # A false detection counts for round(0.5 + height / width) characters, ten at most.
    total = counts([], [box(0, 0, 40, "ab"), box(100, 0, 10, "cd", 30), box(200, 0, 1, "", 400)])
    assert total.det == CharCounts(0, 1 + 3 + 10, 0, 0, 0, 0, 14) and total.det.precision == 0
    assert total.e2e == CharCounts(0, 4, 0, 0, 0, 0, 4)
    missed = counts([box(0, 0, 40, "word")], [])
    assert missed.det == CharCounts(4, 0, 0, 0, 0, 0, 0) and missed.det.hmean == 0


def test_do_not_care() -> None:
    words = [box(0, 0, 40, "###"), box(100, 0, 40, "word")]
    assert counts(words, [box(0, 0, 40, "x"), box(100, 0, 40, "word")], (0,)).det == CharCounts(4, 4, 4, 4, 0, 0, 0)
    # A third of the detection on it is enough to leave it out; a quarter is not.
    assert counts(words, [box(20, 0, 60, "x")], (0,)).det.num_char_fp == 0
    assert counts(words, [box(20, 0, 78, "x")], (0,)).det.num_char_fp == 1
    # What another word covers of it is not do-not-care.
    inner = [box(0, 0, 40, "###"), box(0, 0, 30, "abc")]
    assert counts(inner, [box(0, 0, 30, "abc")], (0,)).det == CharCounts(3, 3, 3, 3, 0, 0, 0)


def test_upright_text_runs_down() -> None:
    upright = ([(10.0, 0.0), (20.0, 0.0), (20.0, 40.0), (10.0, 40.0)], "word")
    assert counts([upright], [([(10, 0), (20, 0), (20, 20), (10, 20)], "wo")]).det.num_char_tp_recall == 2
    assert counts([upright], [([(10, 0), (15, 0), (15, 40), (10, 40)], "wo")]).det.num_char_tp_recall == 0


def test_a_reading_of_unknown_text() -> None:
    # As the published code: ### read by a detection is taken for a text as long as its box supposes, five here.
    total = counts([box(0, 0, 40, "####")], [box(0, 0, 40, "###")])
    assert total.e2e == CharCounts(4, 4, 4, 4, 0, 0, 0)


def test_case() -> None:
    word, read = [box(0, 0, 40, "Word")], [box(0, 0, 40, "wORD")]
    assert counts(word, read).e2e == CharCounts(4, 4, 0, 0, 0, 0, 4)
    assert counts(word, read, rules=Rules(case_sensitive=False)).e2e == CharCounts(4, 4, 4, 4, 0, 0, 0)


def test_longest_common_subsequence_is_the_published_one() -> None:
    assert common_subsequence("ab", "ba") == "b"  # from the end: b and a differ, and a is given up
    assert common_subsequence("abcbdab", "bdcaba") == "bdab"
    assert common_subsequence("", "a") == "" and common_subsequence("tint", "t-int") == "tint"


def test_reading_order_and_taking() -> None:
    holders = [np.array([4]), np.array([2, 4]), np.array([2])]
    assert reading_order(holders, [2, 4]) == [4, 2]
    assert reading_order([np.array([2, 3, 5])], [2, 3, 5]) == [2, 3]  # one character left: the third is not asked
    unread = {4: "ab", 2: "ba"}
    assert take("aba", unread, [4, 2]) == 3 and unread == {4: "", 2: "b"}


def test_curved_words() -> None:
    arc = [(0, 20), (20, 10), (40, 8), (60, 10), (80, 20), (76, 32), (58, 22), (40, 20), (22, 22), (4, 32)]
    word = ([(float(x), float(y)) for x, y in arc], "curved")
    total = counts([word, box(0, 50, 40, "word")], [word, box(0, 50, 40, "word")])
    assert total.det == CharCounts(10, 10, 10, 10, 0, 0, 0) and total.e2e == CharCounts(10, 10, 10, 10, 0, 0, 0)
    left = ([word[0][i] for i in (0, 1, 2, 7, 8, 9)], "cur")
    right = ([word[0][i] for i in (2, 3, 4, 5, 6, 7)], "ved")
    total = counts([word], [left, right])
    assert total.det == CharCounts(6, 6, 6, 6, 1, 0, 0) and total.num_splitted == 1
    broken = [([(0.0, 0.0)], "a"), ([(0.0, 0.0), (9.0, 9.0)], "b"), ([(0.0, 0.0), (20.0, 0.0), (0.0, 9.0)], "c")]
    assert counts(broken, broken).det.num_char_gt == 3


def test_polygons_of_four_points_count_as_quads() -> None:
    words = [box(0, 0, 41, "word"), box(50, 0, 33, "two"), box(0, 30, 47, "###"), box(3, 60, 50, "splits")]
    found = [box(0, 0, 83, "word two"), box(3, 60, 25, "spl"), box(28, 60, 25, "its"), box(2, 31, 40, "x")]
    curved = [(200.0, 0.0), (220.0, 0.0), (240.0, 0.0), (240.0, 9.0), (220.0, 9.0), (200.0, 9.0)]
    quads = counts(words, found, (2,))
    polygons = counts([*words, (curved, "")], found, (2,))
    assert quads == polygons


@st.composite
def slanted(draw: st.DrawFn) -> Box:
    x, y, slope = draw(st.integers(0, 90)), draw(st.integers(0, 60)), draw(st.integers(-6, 6))
    width, height = draw(st.integers(1, 60)), draw(st.integers(1, 20))
    corners = [(x, y), (x + width, y + slope), (x + width, y + slope + height), (x, y + height)]
    return [(float(x), float(y)) for x, y in corners], draw(st.text("abc", max_size=6))


side = st.lists(st.lists(slanted(), max_size=6), min_size=2, max_size=2)


@settings(max_examples=60, deadline=None)
@given(side, side, st.data())
def test_sums_hold_on_wild_input(truth: list[list[Box]], found: list[list[Box]], data: st.DataObject) -> None:
    words = pictures(*truth)
    words = replace(words, ignore=np.array([data.draw(st.booleans()) for _ in words.texts], np.bool_))
    scores = cleval(words, pictures(*found), True)
    total = scores.total()
    assert total.e2e is not None and total.det.num_char_tp_recall == total.det.num_char_tp_precision
    assert total.e2e.num_char_tp_recall == total.e2e.num_char_tp_precision
    assert 0 <= total.det.num_char_tp_recall <= total.det.num_char_gt
    assert total.e2e.num_char_fp == total.e2e.num_char_det - total.e2e.num_char_tp_precision >= 0
    apart = [cleval(_only(words, i), pictures(found[i]), True).total() for i in range(2)]
    assert scores.by_image() == apart
    for rows in (scores.by_image(), [row for _, row in scores.by_size()]):
        assert sum(row.det.num_char_det for row in rows) == total.det.num_char_det
        assert sum(row.e2e.num_char_tp_recall for row in rows if row.e2e) == total.e2e.num_char_tp_recall
    assert cleval(words, words).total().e2e is None


def _only(side: Instances, picture: int) -> Instances:
    start, stop = side.spans[picture : picture + 2].tolist()
    part = slice(int(side.offsets[start]), int(side.offsets[stop]))
    return Instances(
        side.points[part],
        side.offsets[start : stop + 1] - side.offsets[start],
        np.array([0, stop - start]),
        side.ignore[start:stop],
        side.texts[start:stop],
    )


def test_images_have_to_fit() -> None:
    with pytest.raises(ValueError, match="1 images of words, but 2"):
        cleval(pictures([]), pictures([], []))
