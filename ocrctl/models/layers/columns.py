"""Columns of images and features that belong to an image of a batch, and those that are padding.

Images of a batch have widths of their own and lie at its left. A layer keeps the padding of a batch out of its outputs
by `clear_columns` after each convolution that has a bias or a normalisation: padding of zeros is then the same as the
padding that the convolution has itself at the edge of a narrower batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ocrctl.config.kept_aspect import KeptAspect


class Columns(NamedTuple):
    """Widths of the images of a batch in input pixels, each int64 (N,): `image` of the images themselves, `counted`
    with the margin and the padding that the model reads as part of them (config.kept_aspect)."""

    image: Tensor
    counted: Tensor


def counted(widths: Tensor, kept: KeptAspect | None) -> Tensor:
    """Return the columns that count for images `widths` (N,) pixels wide, as KeptAspect.counted does."""
    if kept is None:
        return widths
    return strided((widths + kept.margin).clamp(min=kept.pad_to), kept.pad_multiple) * kept.pad_multiple


def strided(widths: Tensor, stride: int) -> Tensor:
    """Return the columns that are left of `widths` (N,) after a stride: the quotient, rounded up."""
    if stride == 1:
        return widths
    return torch.div(widths + (stride - 1), stride, rounding_mode="trunc")  # floor takes nine nodes in ONNX


def column_mask(widths: Tensor, columns: int) -> Tensor:
    """Return bool (N, columns): True for the first `widths` (N,) columns of each row."""
    return torch.arange(columns, device=widths.device) < widths[:, None]


def repeat_last_column(images: Tensor, widths: Tensor) -> Tensor:
    """Return images (N, C, H, W) with the last of the first `widths` (N,) columns of each in all columns after it."""
    columns = torch.minimum(torch.arange(images.shape[3], device=widths.device), widths[:, None] - 1)  # (N, W)
    return images.gather(3, columns[:, None, None].expand_as(images))


def clear_columns(features: Tensor, widths: Tensor) -> Tensor:
    """Return features (N, D, h, w) with 0 in the columns from `widths` (N,), in columns of the features, on."""
    mask = column_mask(widths, features.shape[3])[:, None, None]
    return torch.where(mask, features, torch.zeros((), dtype=features.dtype, device=features.device))


def reversed_steps(lengths: Tensor, steps: int) -> Tensor:
    """Return int64 (N, steps): for each row the indices of its first `lengths` (N,) steps in reverse order, then those
    of the others in place. Taking steps in this order is its own inverse."""
    forward = torch.arange(steps, device=lengths.device)
    last = lengths[:, None] - 1
    return torch.where(forward <= last, last - forward, forward)


def take_steps(sequence: Tensor, order: Tensor) -> Tensor:
    """Return the steps `order` (N, T) of a sequence (N, T, D), in that order: (N, T, D)."""
    return sequence.gather(1, order[:, :, None].expand(-1, -1, sequence.shape[2]))
