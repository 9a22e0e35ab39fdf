"""Reading orders and their masks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ocrctl.models.parseq.permutations import attention_masks, draw_orders


@given(st.integers(1, 30), st.integers(0, 2**31))
def test_orders_are_distinct_enough_mirrored_and_begin_and_end_where_they_must(length: int, seed: int) -> None:
    torch.manual_seed(seed)
    orders = draw_orders(length)
    assert orders.shape == (1 if length == 1 else min(6, math.factorial(length)), length + 2)
    assert (orders.sort(1).values == torch.arange(length + 2)).all()  # each is a permutation
    assert (orders[:, 0] == 0).all()
    assert orders[0].tolist() == list(range(length + 2))
    if length > 1:
        assert orders[1].tolist() == [0, *range(length + 1, 0, -1)]
    for one, mirror in zip(orders[2::2], orders[3::2], strict=True):
        assert one[-1] == mirror[-1] == length + 1
        assert one[1:-1].tolist() == mirror[1:-1].flip(0).tolist()
    if length < 5:
        assert len(set(map(tuple, orders.tolist()))) == len(orders)


def test_orders_follow_the_random_state_alone() -> None:
    torch.manual_seed(7)
    first = draw_orders(12)
    torch.manual_seed(7)
    assert torch.equal(first, draw_orders(12)) and not torch.equal(first, draw_orders(12))


def test_an_empty_label_has_no_order() -> None:
    with pytest.raises(ValueError, match="got length 0"):
        draw_orders(0)


@given(st.integers(1, 26), st.integers(0, 2**31))
def test_a_mask_row_shows_what_comes_earlier_and_is_never_empty(length: int, seed: int) -> None:
    torch.manual_seed(seed)
    orders = draw_orders(length)
    mask = attention_masks(orders)
    assert mask.dtype == torch.bool and mask.shape == (len(orders), length + 1, length + 1)
    assert mask[:, :, 0].all()  # [BOS] is always there: a row without anything to see would be NaN
    for order, rows in zip(orders.tolist(), mask, strict=True):
        for when, position in enumerate(order[1:], 1):
            earlier = {place for place in order[:when] if place <= length}
            assert set(rows[position - 1].nonzero()[:, 0].tolist()) == earlier
