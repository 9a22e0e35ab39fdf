"""Progress of a run and its learning rate schedule."""

from __future__ import annotations

import math
import time
from typing import Any

from ocrctl.config.settings import TrainSettings


def learning_rate(warm: float, decay: float, train: TrainSettings) -> float:
    """Compute the learning rate where the share `warm` (0..1) of the warm-up and the share `decay` (0..1) of the rest
    are done.

    cosine: linear warmup from 0, then half a cosine to 0 (Loshchilov, Hutter, "SGDR", 2017, without restarts).
    one-cycle: linear warmup from lr / 25, then half a cosine to 0 (Smith, Topin, "Super-Convergence", 2018).
    constant: linear warmup from 0, then lr.
    """
    floor = 1 / 25 if train.schedule == "one-cycle" else 0.0
    if warm < 1:
        return train.lr * (floor + (1 - floor) * warm)
    if train.schedule == "constant":
        return train.lr
    return train.lr * 0.5 * (1 + math.cos(math.pi * decay))


def warmup_length(train: TrainSettings, max_steps: int) -> int:
    """Return the optimiser steps of the warm-up of a run of `max_steps`: train.warmup_steps, or train.warmup as a share
    of it."""
    if train.warmup_steps is not None:
        return train.warmup_steps
    return max(1, round(train.warmup * max_steps)) if train.warmup else 0


class Progress:
    """Position of a run. With `max_steps` the schedule is a function of the step alone, and `train.max_minutes` only
    stops the run; without it the schedule follows the clock.

    `elapsed` counts seconds over all sittings of a resumed run. `warmup_steps` is the length of the warm-up in
    optimiser steps; None while a run that follows the clock is still warming up. A checkpoint keeps it, so that a run
    whose length changes on resume does not warm up again.
    """

    def __init__(
        self, train: TrainSettings, max_steps: int | None, elapsed: float = 0.0, warmup_steps: int | None = None
    ) -> None:
        """`warmup_steps`: as a checkpoint kept it. Raises ValueError when the run has no end."""
        if max_steps is None and train.max_minutes is None:
            raise ValueError("a run needs max_steps or max_minutes")
        self.train, self.max_steps = train, max_steps
        self.warmup_steps = warmup_steps
        if warmup_steps is None:
            self.warmup_steps = warmup_length(train, max_steps) if max_steps else train.warmup_steps
        self._before = elapsed
        self._start: float | None = None
        self._agreed: float | None = None

    def begin(self) -> None:
        """Start the clock of this sitting."""
        self._start = time.monotonic()

    def agree(self, elapsed: float) -> None:
        """Take the seconds that all processes of a run count with, until the next call."""
        self._agreed = elapsed

    @property
    def elapsed(self) -> float:
        """Return the seconds of training so far, earlier sessions included."""
        return self.own_elapsed if self._agreed is None else self._agreed

    @property
    def own_elapsed(self) -> float:
        """Return the seconds by the clock of this process."""
        return self._before + (0.0 if self._start is None else time.monotonic() - self._start)

    @property
    def out_of_time(self) -> bool:
        """Return whether train.max_minutes have passed."""
        return self.train.max_minutes is not None and self.elapsed >= 60 * self.train.max_minutes

    def over(self, step: int) -> bool:
        """Return whether the run ends after `step` optimiser steps."""
        return self.out_of_time or (self.max_steps is not None and step >= self.max_steps)

    def share(self, step: int) -> float:
        """Share of the schedule that is done after `step` optimiser steps, 0..1."""
        if self.max_steps:
            return min(1.0, step / self.max_steps)
        return min(1.0, self.elapsed / (60 * self.train.max_minutes))  # type: ignore[operator]

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of the step that follows `step` optimiser steps."""
        share = self.share(step)
        if self.max_steps is None and self.warmup_steps is None:
            if share < self.train.warmup:
                return learning_rate(share / self.train.warmup, 0.0, self.train)
            self.warmup_steps = step
        warmup = self.warmup_steps or 0
        if step < warmup:
            return learning_rate(step / warmup, 0.0, self.train)
        if self.max_steps:
            decay = (step - warmup) / (self.max_steps - warmup) if step < self.max_steps else 1.0
        else:
            decay = max(0.0, (share - self.train.warmup) / (1 - self.train.warmup))
        return learning_rate(1.0, decay, self.train)

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"warmup_steps": self.warmup_steps, "max_steps": self.max_steps}

    def total_steps(self, step: int) -> int | None:
        """Return the projected optimiser steps of the whole run after `step` of them; None where no step was timed
        yet."""
        if self.max_steps and self.train.max_minutes is None:
            return self.max_steps
        elapsed = self.elapsed
        return round(step * (1 + self.seconds_left(step) / elapsed)) if step and elapsed else self.max_steps

    def seconds_left(self, step: int) -> float:
        """Return the projected seconds until the run is over; infinite before the first step."""
        left = []
        if self.max_steps:
            left.append(self.elapsed * (self.max_steps - step) / step if step else math.inf)
        if self.train.max_minutes is not None:
            left.append(60 * self.train.max_minutes - self.elapsed)
        return max(0.0, min(left))
