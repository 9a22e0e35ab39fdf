"""How far a run is, and the learning rate that belongs there."""

from __future__ import annotations

import math
import time

from ocrctl.config.settings import TrainSettings


def learning_rate(progress: float, train: TrainSettings) -> float:
    """Learning rate at `progress` in 0..1 of the run.

    cosine: linear warmup from 0, then half a cosine to 0 (Loshchilov, Hutter, "SGDR", 2017, without restarts).
    one-cycle: linear warmup from lr / 25, then half a cosine to 0 (Smith, Topin, "Super-Convergence", 2018).
    constant: linear warmup from 0, then lr.
    """
    floor = 1 / 25 if train.schedule == "one-cycle" else 0.0
    if progress < train.warmup:
        return train.lr * (floor + (1 - floor) * progress / train.warmup)
    if train.schedule == "constant":
        return train.lr
    done = min(1.0, (progress - train.warmup) / (1 - train.warmup))
    return train.lr * 0.5 * (1 + math.cos(math.pi * done))


class Progress:
    """Share of the run that is done: by optimiser steps, or by the clock where the length is given in minutes.

    `elapsed` counts seconds over all sittings of a resumed run.
    """

    def __init__(self, max_steps: int | None, max_minutes: float | None, elapsed: float = 0.0) -> None:
        """Raises ValueError when the run has no end."""
        if max_steps is None and max_minutes is None:
            raise ValueError("a run needs max_steps or max_minutes")
        self.max_steps, self.max_minutes = max_steps, max_minutes
        self._before, self._start = elapsed, time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, earlier sittings included."""
        return self._before + time.monotonic() - self._start

    def share(self, step: int) -> float:
        """0 at the start, 1 when the run is over."""
        by_steps = step / self.max_steps if self.max_steps else 0.0
        by_clock = self.elapsed / (60 * self.max_minutes) if self.max_minutes else 0.0
        return min(1.0, max(by_steps, by_clock))
