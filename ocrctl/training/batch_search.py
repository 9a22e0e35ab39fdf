"""Search for the largest batch whose training step fits, each try a function of the size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LARGEST = 4096  # images; beyond it a larger batch rarely trains better
PRECISION = 16  # the search ends when the next size that does not fit is at most 1/16 larger


@dataclass(frozen=True)
class Found:
    """The largest batch size that is known to fit, 0: not even one image does; and the smallest that is known not to
    fit, None: no size that was tried."""

    size: int
    beyond: int | None


def search_batch(start: int, fits: Callable[[int], bool], most: int = LARGEST) -> Found:
    """Search from `start` upwards by doubling, downwards by halving, then by bisection, sizes of 1 to `most` images."""
    low, high = 0, most + 1
    size = max(1, min(start, most))
    while high - low > max(1, low // PRECISION):
        if fits(size):
            low = size
        else:
            high = size
        size = min(2 * low, most) if high > most else (low + high) // 2
        if low == most:
            break
    return Found(low, high if high <= most else None)
