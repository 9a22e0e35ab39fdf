"""Order of training draws in which the images of a batch have similar widths, so that little of it is padding.

Training takes consecutive positions of a stream, `batch_size` at a time. Without an order, position n is draw n. Here a
window of draws is sorted by width, cut into batches, and the batches are shuffled: a position still is one draw, a
window holds the draws that it would hold anyway, and which draw a position is depends on (seed, position) alone,
whatever the workers, restarts and machines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCHES = 64  # of a window: then neighbours in the sorted window differ by a few per cent
LANES = 4  # windows open at a time where widths are costly; loader processes 1, 2 and 4 then share the work


class WidthOrder:
    """Maps positions to draws.

    Batches alternate between `lanes` windows. A loader process takes every k-th batch, so that with as many lanes each
    process has windows of its own and no width is computed twice.
    """

    def __init__(
        self, width: Callable[[int], int], *, seed: int, batch_size: int, batches: int = BATCHES, lanes: int = 1
    ) -> None:
        """width: draw number to the width of its image in pixels, exact or estimated. batches: those of a window.
        Raises ValueError for a number below 1."""
        if min(batch_size, batches, lanes) < 1:
            raise ValueError(f"expected numbers from 1, found {batch_size} samples, {batches} batches, {lanes} lanes")
        self.width, self.seed = width, seed
        self.batch_size, self.batches, self.lanes = batch_size, batches, lanes
        self._wanted: Callable[[int], bool] | None = None
        self._windows: dict[tuple[int, int], NDArray[np.int64]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_windows": {}}

    def replace_unwanted(self, wanted: Callable[[int], bool]) -> None:
        """Replace draws for which `wanted` is False by others of their window and of similar width, so that batches
        keep their size. All other draws keep their positions, so that a run resumed within a window repeats and skips
        none."""
        self._wanted = wanted
        self._windows.clear()

    def draw(self, position: int) -> int:
        """Return the draw at `position`, from 0 on."""
        batch, row = divmod(position, self.batch_size)
        turn, lane = divmod(batch, self.lanes)
        window, number = divmod(turn, self.batches)
        key = window, lane
        if key not in self._windows:
            while len(self._windows) >= 2 * self.lanes:
                del self._windows[next(iter(self._windows))]
            self._windows[key] = self._sorted(window, lane)
        return int(self._windows[key][number, row])

    def _sorted(self, window: int, lane: int) -> NDArray[np.int64]:
        """Return the draws of a window, int64 (batches, batch_size), in the order in which they are taken."""
        size = self.batch_size * self.batches
        start = (window * self.lanes + lane) * size
        draws = np.arange(start, start + size)
        draws = draws[np.argsort([self.width(int(n)) for n in draws], kind="stable")]
        if self._wanted is not None:
            draws = _replace(draws, np.array([self._wanted(int(n)) for n in draws]))
        batches = draws.reshape(self.batches, self.batch_size)
        return batches[np.random.default_rng((self.seed, 6, window, lane)).permutation(self.batches)]


def _replace(draws: NDArray[np.int64], wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Replace each draw that is not `wanted` by the nearest one that is; without one, return `draws` as they are."""
    chosen = np.flatnonzero(wanted)
    if not len(chosen):
        return draws
    each = np.arange(len(draws))
    right = np.searchsorted(chosen, each)
    before, after = chosen[np.maximum(right - 1, 0)], chosen[np.minimum(right, len(chosen) - 1)]
    return draws[np.where(np.abs(after - each) <= np.abs(each - before), after, before)]


def batches_of_window(epoch_size: int | None, batch_size: int, lanes: int) -> int:
    """Return the batches of a window: BATCHES, fewer where an epoch has fewer, so that a window repeats no sample."""
    if epoch_size is None:
        return BATCHES
    return min(BATCHES, max(1, epoch_size // (batch_size * lanes)))
