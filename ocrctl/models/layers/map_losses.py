"""Clamping and hard example mining for losses over maps, without host synchronisation."""

from __future__ import annotations

import torch
from torch import Tensor

from ocrctl.models.layers.whole_batch import batch_sum

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
    bins, sizes = _histogram(losses, eligible)
    return _chosen(bins, sizes, eligible, count)


def hardest_of_batch(losses: Tensor, eligible: Tensor, count: Tensor) -> Tensor:
    """Compute `hardest` over the batch that several processes divide: `losses` and `eligible` (1, M) are the part of
    this process, `count` (1,) is that of the whole batch (models.layers.whole_batch)."""
    bins, sizes = _histogram(losses, eligible)
    return _chosen(bins, batch_sum(sizes), eligible, count)


def _histogram(losses: Tensor, eligible: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bin of each loss, int64 (N, M), and the eligible losses in each bin, int32 (N, BINS)."""
    bins = (losses.detach().to(torch.float32).contiguous().view(torch.int32) >> 16).clamp(0, BINS - 1).long()
    sizes = torch.zeros(len(losses), BINS, dtype=torch.int32, device=losses.device)
    return bins, sizes.scatter_add(1, bins, eligible.int())


def _chosen(bins: Tensor, sizes: Tensor, eligible: Tensor, count: Tensor) -> Tensor:
    above = sizes.flip(1).cumsum(1).flip(1) - sizes  # (N, BINS) eligible losses in greater bins
    share = ((count[:, None] - above) / sizes.clamp(min=1)).clamp(0, 1).float()
    return share.gather(1, bins) * eligible
