"""Training steps of features whose last column stands for all padding, without passes over whole feature maps.

A slice of one column and a `where` with a broadcast operand have gradients as large as the feature map, mostly zeros,
which autograd fills, masks, sums and adds: a fifth of a step on short words. The functions here compute the same
gradients in place and with one product of matrices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def with_last_column(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return features (N, C, H, W) and a copy of their last column (N, C, H, 1). In training the features must have no
    use but the returned ones, and these one use only, whose gradient is a tensor of its own, as that of a convolution
    is."""
    if not _trains(features):
        return features, features[..., -1:]
    whole, last = _WithLastColumn.apply(features)
    return whole, last


def put_outside(inside: Tensor, features: Tensor, constant: Tensor) -> Tensor:
    """Return features (N, C, H, W) in the columns that are `inside`, bool (N, 1, 1, W), and in all others `constant`
    (N or 1, C, H, 1)."""
    if not _trains(features):
        return torch.where(inside, features, constant)
    result: Tensor = _PutOutside.apply(inside, features, constant)
    return result


def _trains(features: Tensor) -> bool:
    return torch.is_grad_enabled() and features.requires_grad and not torch.compiler.is_compiling()


class _WithLastColumn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        return features.view_as(features), features[..., -1:].clone()

    @staticmethod
    def backward(ctx: Any, whole: Tensor, last: Tensor) -> Tensor:  # type: ignore[override]
        whole[..., -1:] += last
        return whole


class _PutOutside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inside: Tensor, features: Tensor, constant: Tensor) -> Tensor:
        ctx.save_for_backward(inside)
        return torch.where(inside, features, constant.to(features.dtype))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor]:  # type: ignore[override]
        (inside,) = ctx.saved_tensors
        outside = (~inside).to(gradient.dtype)  # (N, 1, 1, W)
        of_constant = torch.matmul(gradient, outside.transpose(2, 3))  # (N, C, H, 1)
        return None, gradient * inside, of_constant
