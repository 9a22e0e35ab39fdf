"""Gradients of features with a constant column are those of a slice and a `where`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ocrctl.models.layers.constant_column import put_outside, with_last_column

INSIDE = (torch.arange(7) < torch.tensor([3, 6])[:, None])[:, None, None]  # (2, 1, 1, 7)


def plainly(features: Tensor) -> tuple[Tensor, Tensor]:
    return features, features[..., -1:]


def gradients(
    split: Callable[[Tensor], tuple[Tensor, Tensor]], put: Callable[..., Tensor], dtype: torch.dtype
) -> list[Tensor]:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
    third = nn.Conv2d(4, 4, (3, 1), padding=(1, 0))
    images = torch.randn(2, 3, 5, 7)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        features = first(images)
        for _ in range(2):
            features, last = split(features)
            features = put(INSIDE, second(features), third(last))
    (features.float() * torch.linspace(-1, 1, 7)).pow(2).sum().backward()
    return [features.detach(), *(value.grad for layer in (first, second, third) for value in layer.parameters())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_and_gradients_equal_those_of_slice_and_where(dtype: torch.dtype) -> None:
    ours, theirs = gradients(with_last_column, put_outside, dtype), gradients(plainly, torch.where, dtype)
    assert torch.equal(ours[0], theirs[0])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(
            one, other, rtol=1e-5 if dtype == torch.float32 else 0.05, atol=1e-5 if dtype == torch.float32 else 0.2
        )


def test_without_gradients_nothing_is_copied() -> None:
    features = torch.randn(2, 4, 5, 7)
    whole, last = with_last_column(features)
    assert whole is features and last.data_ptr() == features[..., -1:].data_ptr()
    assert torch.equal(put_outside(INSIDE, features, last), torch.where(INSIDE, features, last))
