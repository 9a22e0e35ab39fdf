"""The order of samples: a pure function of (seed, n), with exact shares and whole passes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.data.datasets.mixture import BLOCK, Mixture


def test_a_finite_source_is_seen_once_a_pass_each_time_in_another_order() -> None:
    mixture = Mixture([37], None, seed=3)
    first = [mixture.locate(n)[1] for n in range(37)]
    second = [mixture.locate(n)[1] for n in range(37, 74)]
    assert sorted(first) == sorted(second) == list(range(37))
    assert first != second


def test_shares_hold_in_every_block() -> None:
    mixture = Mixture([50, None, 7], [1, 2, 1], seed=0)
    for block in range(3):
        counts = Counter(mixture.locate(n)[0] for n in range(block * BLOCK, (block + 1) * BLOCK))
        assert counts == {0: 250, 1: 500, 2: 250}


def test_a_small_set_beside_a_large_one_is_drawn() -> None:
    for sizes in ([400, 1_000_000], [200, 200_000, None], [1, 3_000_000]):
        mixture = Mixture(sizes, None, 0)
        assert int(mixture.counts.sum()) == mixture.block
        assert mixture.counts[0] / mixture.block == pytest.approx(mixture.shares[0], rel=0.2, abs=1e-6)
        assert mixture.counts[0] >= 1


def test_an_endless_source_never_repeats() -> None:
    mixture = Mixture([None, 5], [3, 1], seed=1)
    drawn = [index for source, index in (mixture.locate(n) for n in range(4000)) if source == 0]
    assert sorted(drawn) == list(range(3000))


def test_without_weights_an_endless_source_gets_as_much_as_all_finite_ones() -> None:
    assert Mixture([30, 10, None], None, 0).shares.tolist() == [0.375, 0.125, 0.5]
    assert Mixture([None], None, 0).epoch_size() is None
    assert Mixture([30, 10, None], None, 0).epoch_size() == 80


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=4), st.integers(0, 2**31), st.data())
def test_any_order_of_asking_gives_the_same_samples(sizes: list[int], seed: int, data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, 5000), min_size=1, max_size=20))
    forward = {n: Mixture(sizes, None, seed).locate(n) for n in numbers}
    other = Mixture(sizes, None, seed)
    assert {n: other.locate(n) for n in reversed(numbers)} == forward
    assert all(0 <= index < sizes[source] for source, index in forward.values())


@pytest.mark.parametrize(("sizes", "weights"), [([], None), ([0], None), ([1, 2], [1]), ([1], [0]), ([1, 1], [-1, 2])])
def test_impossible_mixtures_are_refused(sizes: list[int | None], weights: list[float] | None) -> None:
    with pytest.raises(ValueError, match="found"):
        Mixture(sizes, weights, 0)
