"""Clamping and hard example mining for losses over maps, without host synchronisation."""

from __future__ import annotations

import torch
from torch import Tensor

LIMIT = 1e6  # far beyond any output of a working model; what float16 could not hold becomes this instead of infinity
BINS = 1 << 15  # of positive float32 numbers by sign, exponent and the first seven bits of the fraction


def bounded(values: Tensor) -> Tensor:
    """Convert to float32 and clamp to +-LIMIT; NaN stays NaN. Beyond the limit there is no gradient."""
    return values.float().clamp(-LIMIT, LIMIT)


def hardest(losses: Tensor, eligible: Tensor, count: Tensor) -> Tensor:
    """Compute weights in 0..1 that select the `count` greatest eligible losses of each row; they sum to min(count,
    eligible).

    losses: (N, M), not negative. eligible: bool (N, M). count: (N,). Returns float32 (N, M).
    Online hard example mining (Shrivastava et al., 2016, https://arxiv.org/abs/1604.03540) takes a number of pixels
    that only the device knows, so torch.topk would have to wait for it, and a sort costs 15 times a histogram on a CPU.
    Losses within 1 % of each other fall in one bin; the bin in which the count is reached shares what is left of it.
    """
    bins = (losses.detach().float().contiguous().view(torch.int32) >> 16).clamp(0, BINS - 1).long()
    sizes = torch.zeros(len(losses), BINS, dtype=torch.int32, device=losses.device)
    sizes = sizes.scatter_add(1, bins, eligible.int())
    above = sizes.flip(1).cumsum(1).flip(1) - sizes  # (N, BINS) eligible losses in greater bins
    share = ((count[:, None] - above) / sizes.clamp(min=1)).clamp(0, 1).float()
    return share.gather(1, bins) * eligible
