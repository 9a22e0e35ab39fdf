"""The order of draws by width: every draw once, batches kept, the same everywhere, little padding."""

from __future__ import annotations

import pickle
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrctl.data.datasets.width_order import BATCHES, WidthOrder, batches_of_window


def width(draw: int) -> int:
    return 8 + int(600 * Random(draw).random() ** 3)


def even(draw: int) -> bool:
    return draw % 2 == 0


sizes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 99))


@given(sizes)
def test_a_window_holds_its_own_draws_once(numbers: tuple[int, int, int, int]) -> None:
    batch_size, batches, lanes, seed = numbers
    order = WidthOrder(width, seed=seed, batch_size=batch_size, batches=batches, lanes=lanes)
    size = batch_size * batches * lanes
    for start in (0, size, 7 * size):
        assert sorted(order.draw(start + place) for place in range(size)) == list(range(start, start + size))


@given(sizes, st.randoms(use_true_random=False))
def test_a_draw_depends_on_seed_and_position_alone(numbers: tuple[int, int, int, int], random: Random) -> None:
    batch_size, batches, lanes, seed = numbers
    order = WidthOrder(width, seed=seed, batch_size=batch_size, batches=batches, lanes=lanes)
    positions = list(range(3 * batch_size * batches * lanes))
    whole = [order.draw(position) for position in positions]
    copy = pickle.loads(pickle.dumps(order))  # as in a loader process, which has cached nothing
    random.shuffle(positions)
    assert all(copy.draw(position) == whole[position] for position in positions)


@given(sizes)
def test_batches_of_a_window_do_not_overlap_in_width(numbers: tuple[int, int, int, int]) -> None:
    batch_size, batches, lanes, seed = numbers
    order = WidthOrder(width, seed=seed, batch_size=batch_size, batches=batches, lanes=lanes)
    spans = []
    for turn in range(batches):
        start = turn * lanes * batch_size  # the batches of the first lane
        widths = [width(order.draw(start + row)) for row in range(batch_size)]
        spans.append((min(widths), max(widths)))
    spans.sort()
    assert all(left[1] <= right[0] for left, right in pairwise(spans))


def test_batches_come_in_random_order_which_the_seed_decides() -> None:
    first, again, other = (WidthOrder(width, seed=seed, batch_size=4) for seed in (1, 1, 2))
    drawn = [first.draw(position) for position in range(4 * BATCHES)]
    assert drawn == [again.draw(position) for position in range(4 * BATCHES)]
    assert drawn != [other.draw(position) for position in range(4 * BATCHES)]
    means = np.array([width(draw) for draw in drawn]).reshape(BATCHES, 4).mean(1)
    assert abs(np.corrcoef(np.arange(BATCHES), means)[0, 1]) < 0.5


def test_little_is_padding() -> None:
    order = WidthOrder(width, seed=0, batch_size=32)
    widths = np.array([width(order.draw(position)) for position in range(32 * BATCHES)]).reshape(BATCHES, 32)
    assert 32 * widths.max(1).sum() < 1.1 * widths.sum()
    unordered = np.array([width(draw) for draw in range(32 * BATCHES)]).reshape(BATCHES, 32)
    assert 32 * unordered.max(1).sum() > 2 * unordered.sum()


@given(sizes)
def test_excluded_draws_are_replaced(numbers: tuple[int, int, int, int]) -> None:
    batch_size, batches, lanes, seed = numbers
    order = WidthOrder(width, seed=seed, batch_size=batch_size, batches=batches, lanes=lanes)
    order.draw(0)  # cached, and forgotten
    order.replace_unwanted(even)
    size = batch_size * batches * lanes
    drawn = [order.draw(position) for position in range(size)]
    if batch_size * batches > 1:
        assert all(map(even, drawn)) and set(drawn) == set(range(0, size, 2))


@given(sizes, st.sets(st.integers(0, 120)), st.sets(st.integers(0, 120)))
def test_excluding_draws_moves_no_other_draw(
    numbers: tuple[int, int, int, int], first: set[int], more: set[int]
) -> None:
    batch_size, batches, lanes, seed = numbers
    order = WidthOrder(width, seed=seed, batch_size=batch_size, batches=batches, lanes=lanes)
    positions = range(2 * batch_size * batches * lanes)
    before = [order.draw(position) for position in positions]
    for excluded in (first, first | more):
        order.replace_unwanted(lambda draw, excluded=excluded: draw not in excluded)  # type: ignore[misc]
        after = [order.draw(position) for position in positions]
        assert all(one == two for one, two in zip(before, after, strict=True) if one not in excluded)


def test_an_excluded_draw_is_replaced_by_one_of_similar_width() -> None:
    order = WidthOrder(width, seed=0, batch_size=8)
    before = [order.draw(position) for position in range(8 * BATCHES)]
    order.replace_unwanted(lambda draw: draw % 10 > 0)
    after = [order.draw(position) for position in range(8 * BATCHES)]
    moved = [abs(width(one) - width(two)) for one, two in zip(before, after, strict=True) if one != two]
    assert len(moved) == len([draw for draw in before if draw % 10 == 0]) and np.median(moved) <= 2


def test_a_window_repeats_no_sample_of_an_epoch() -> None:
    assert batches_of_window(None, 64, 4) == BATCHES
    assert batches_of_window(100_000, 64, 1) == BATCHES
    assert batches_of_window(500, 64, 1) == 7
    assert batches_of_window(10, 64, 1) == 1


def test_numbers_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="numbers from 1"):
        WidthOrder(width, seed=0, batch_size=0)
