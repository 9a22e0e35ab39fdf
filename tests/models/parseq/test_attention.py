"""Attention and dropout in the CPU's form say what PyTorch's own say."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ocrctl.models.layers.attention import Dropout, attend, drop


def parts(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, 2, length, 8, generator=generator).to(dtype) for length in (5, 7, 7))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rate", [0.0, 1e-9])  # a rate that drops nothing still takes the way of one that does
def test_attention_with_dropout_is_attention(masked: bool, rate: float) -> None:
    mask = torch.rand(3, 1, 5, 7, generator=torch.Generator().manual_seed(1)) > 0.5 if masked else None
    if mask is not None:
        mask[..., 0] = True
    ours, theirs = ([part.clone().requires_grad_() for part in parts()] for _ in range(2))
    attend(*ours, mask, rate).square().sum().backward()
    F.scaled_dot_product_attention(*theirs, attn_mask=mask).square().sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)


def test_half_precision_is_left_for_the_attention_itself() -> None:
    half = parts(torch.bfloat16)
    exact = F.scaled_dot_product_attention(*(part.float() for part in half))
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(*half)
    assert found.dtype == torch.bfloat16 and torch.equal(found, exact.bfloat16())


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_keeps_the_mean_and_follows_the_seed(rate: float) -> None:
    ones = torch.ones(3, 5, 20_001, requires_grad=True)
    torch.manual_seed(0)
    dropped = drop(ones, rate)
    share = float((dropped == 0).float().mean())
    assert share == pytest.approx(rate, abs=4e-3)  # four standard deviations of the worst case
    assert dropped.detach().unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)], rel=1e-3)
    neighbours = (dropped[0, 0, 1:] == 0) & (dropped[0, 0, :-1] == 0)
    assert float(neighbours.float().mean()) == pytest.approx(rate**2, abs=0.015)
    dropped.sum().backward()
    assert torch.equal(ones.grad, dropped.detach())
    torch.manual_seed(0)
    assert torch.equal(drop(ones, rate), dropped)


def test_dropout_is_for_training() -> None:
    layer, states = Dropout(0.5), torch.ones(100)
    assert layer.eval()(states) is states and bool((layer.train()(states) == 0).any())
