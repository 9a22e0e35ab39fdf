"""Hard negatives by histogram against a sort."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.models.layers.map_losses import LIMIT, bounded, hardest


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 400), st.integers(0, 500), st.floats(1e-6, 1e6))
def test_the_weighted_sum_is_that_of_the_greatest(seed: int, rows: int, size: int, count: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    losses = scale * torch.rand(rows, size, generator=generator) ** 3
    eligible = torch.rand(rows, size, generator=generator) > 0.3
    weights = hardest(losses, eligible, torch.full((rows,), count))
    assert ((weights >= 0) & (weights <= 1)).all() and not weights[~eligible].any()
    for row in range(rows):
        pool = losses[row][eligible[row]]
        kept = min(count, len(pool))
        torch.testing.assert_close(weights[row].sum().item(), float(kept), rtol=1e-4, atol=1e-3)
        best = pool.topk(kept).values.sum()
        torch.testing.assert_close((weights[row] * losses[row]).sum(), best, rtol=1e-2, atol=1e-6 * scale)


def test_equals_share_what_is_left() -> None:
    weights = hardest(
        torch.tensor([[2.0, 1.0, 1.0, 1.0, 1.0, 0.0]]), torch.ones(1, 6, dtype=torch.bool), torch.tensor([3])
    )
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.5, 0.5, 0.5, 0.5, 0.0]]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.0])
def test_odd_numbers_have_a_place(value: float) -> None:
    losses = torch.tensor([[value, 1.0, -value]])
    assert torch.isfinite(hardest(losses, torch.ones(1, 3, dtype=torch.bool), torch.tensor([2]))).all()


def test_bounded_ends_infinity_and_keeps_nan() -> None:
    values = bounded(torch.tensor([float("inf"), float("-inf"), float("nan"), 3.0], dtype=torch.float16))
    assert values.dtype == torch.float32
    assert values[0] == LIMIT and values[1] == -LIMIT and values[2].isnan() and values[3] == 3
