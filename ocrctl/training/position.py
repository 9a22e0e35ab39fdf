"""Where a run is: the random state of a step, and how a checkpoint is put back to an earlier one."""

from __future__ import annotations

from typing import Any


def wind_back(checkpoint: dict[str, Any], steps: int, accumulate: int) -> None:
    """Take `steps` optimiser steps off the counters of Lightning's loops in `checkpoint`."""
    checkpoint["global_step"] -= steps
    loops = checkpoint["loops"]["fit_loop"]
    for name, taken in (
        ("epoch_loop.manual_optimization.optim_step_progress", steps),
        ("epoch_loop.batch_progress", steps * accumulate),
    ):
        for counts in loops[name].values():
            if isinstance(counts, dict):
                counts.update({key: value - taken for key, value in counts.items()})
    loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= steps


def step_seed(seed: int, step: int) -> int:
    """Seed of the random state of a step: dropout and reading orders are the same after a restart."""
    return (seed << 32) + step
