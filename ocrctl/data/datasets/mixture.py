"""Map a draw number to a source and a sample: a pure function of (seed, n), the same in workers, restarts, machines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BLOCK = 1000  # samples in a block; the shares hold in every block
LARGEST_BLOCK = 1_000_000  # maximum size when a share is small


class Mixture:
    """Mix finite sources (each pass a new permutation) and endless ones by fixed shares.

    `sizes`: the number of samples of each source, None for an endless one; `weights`: their shares in any unit.
    """

    def __init__(self, sizes: Sequence[int | None], weights: Sequence[float] | None, seed: int) -> None:
        """Raises ValueError when the counts differ, a source is empty, or no weight is positive."""
        if not sizes or any(size == 0 for size in sizes):
            raise ValueError(f"every source needs at least one sample, found sizes {list(sizes)}")
        if weights is None:
            finite = float(sum(size for size in sizes if size is not None))
            weights = [float(size) if size is not None else (finite or 1.0) for size in sizes]
        if len(weights) != len(sizes) or min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"expected {len(sizes)} weights >= 0 with a positive sum, found {list(weights)}")
        self.sizes = tuple(sizes)
        self.shares = np.asarray(weights, dtype=np.float64) / sum(weights)
        self.seed = seed
        self.block = BLOCK
        while self.block < LARGEST_BLOCK and min(share for share in self.shares if share > 0) * self.block < 10:
            self.block *= 10  # at least ten draws per block keep the rounding of a small share below a tenth
        self.counts = _quotas(self.shares, self.block)

    def epoch_size(self) -> int | None:
        """Return the draws after which every finite source with a share was drawn once; None if all are endless."""
        shares = self.counts / self.block
        needed = [size / share for size, share in zip(self.sizes, shares, strict=True) if size and share > 0]
        return int(np.ceil(max(needed))) if needed else None

    def locate(self, n: int) -> tuple[int, int]:
        """Return (source, index) of the n-th draw."""
        block, position = divmod(n, self.block)
        sources, ranks = _block(self.seed, block, tuple(self.counts.tolist()))
        source = int(sources[position])
        drawn = block * int(self.counts[source]) + int(ranks[position])
        size = self.sizes[source]
        if size is None:
            return source, drawn
        round_, position = divmod(drawn, size)
        return source, int(_permutation(self.seed, source, round_, size)[position])


def _quotas(shares: NDArray[np.float64], block: int) -> NDArray[np.int64]:
    """Round shares * block to whole numbers that sum to block (largest remainder); positive shares get at least 1."""
    exact = shares * block
    counts = np.where(shares > 0, np.maximum(1, np.floor(exact)), 0).astype(np.int64)
    for source in np.argsort(counts - exact, kind="stable")[: max(0, block - int(counts.sum()))]:
        counts[source] += 1
    counts[np.argmax(counts)] -= counts.sum() - block  # the surplus of the minimum of one comes off the largest
    return counts


@lru_cache(maxsize=4)
def _block(seed: int, block: int, counts: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sources = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng((seed, 1, block)).shuffle(sources)
    ranks = np.empty_like(sources)
    for source in range(len(counts)):
        mask = sources == source
        ranks[mask] = np.arange(int(mask.sum()))
    return sources, ranks


@lru_cache(maxsize=16)
def _permutation(seed: int, source: int, round_: int, size: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 2, source, round_)).permutation(size)
