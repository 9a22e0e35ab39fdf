"""Sinusoidal positional encodings (Vaswani et al., "Attention Is All You Need", 2017, section 3.5,
https://arxiv.org/abs/1706.03762)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LONGEST_WAVE = 10_000  # the wavelengths run from 2 pi to 2 pi times this


def sinusoids(count: int, dim: int, like: Tensor) -> Tensor:
    """Return the encodings of positions 0 to `count` - 1, (count, dim), with the type and device of `like`.

    dim must be even: sine and cosine of one frequency are neighbours.
    """
    rates = torch.arange(0, dim, 2, device=like.device, dtype=torch.float32) * (-math.log(LONGEST_WAVE) / dim)
    angles = torch.arange(count, device=like.device, dtype=torch.float32)[:, None] * rates.exp()  # (count, dim / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1).to(like.dtype)


def steps_of(table: Tensor, first: int | Tensor, count: int) -> Tensor:
    """Return the rows of `count` output steps from `first` on, of a table with one row (T, ...) for each step. first as
    an int64 scalar tensor, in an exported loop and in a beam: one row, which all states share."""
    return table.index_select(0, first.view(1)) if isinstance(first, Tensor) else table[first : first + count]
