"""Sums over the batch that several processes divide, so that a loss equals that of one process with all of it.

DistributedDataParallel averages the gradients of its processes. That equals the gradient of the whole batch where a
loss is the mean of losses of single samples. A loss that divides by something the batch holds (its characters, its
pixels of text) takes both sums through `batch_sum`. Outside `over_processes`, and with one process, nothing is
exchanged and `batch_sum` returns what it was given: a loss that only one process computes must not wait for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch import distributed as dist

_world = 1  # processes that divide the present batch


@contextmanager
def over_processes(world: int) -> Iterator[None]:
    """Let `batch_sum` add up over `world` processes inside; every one of them must compute the same losses."""
    global _world
    before, _world = _world, world
    try:
        yield
    finally:
        _world = before


def batch_sum(part: Tensor) -> Tensor:
    """Add up `part`, of any shape, over the processes that divide the batch.

    The gradient is that of this process's part, times their number, so that the average over the processes is the
    gradient of a loss of the whole sum. Waits for no device.
    """
    if _world == 1:
        return part
    total = part.detach().clone()
    dist.all_reduce(total)
    if not part.requires_grad:
        return total
    return total + _world * (part - part.detach())


def batch_mean(mean: Tensor, count: Tensor) -> Tensor:
    """Return the mean over the whole batch from the `mean` over `count` elements of this process's part, both
    scalar."""
    if _world == 1:
        return mean
    sums = batch_sum(torch.stack([mean * count, count.to(mean.dtype)]))
    return sums[0] / sums[1]


def batch_size(images: int) -> int:
    """Return the images of the whole batch, of which every process has `images`."""
    return images * _world
