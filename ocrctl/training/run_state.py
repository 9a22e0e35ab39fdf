"""Counters of a run, and the format of durations."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ocrctl.training.metrics_file import Row


@dataclass
class RunState:
    """What a run has to tell when it ends; saved in its checkpoints, so that a resumed run goes on counting."""

    best: float = -1.0
    best_step: int = 0
    stale: int = 0  # validations since the best one
    validated: int = 0  # step of the last whole validation
    skipped: int = 0  # steps left out because of values that were not finite
    last: Row = field(default_factory=dict)


def clock(seconds: float) -> str:
    """`1:02:03` or `2:03`; a question mark for what is not finite."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
