"""What a training returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainResult:
    """Where the run is and how it went; accuracies in 0..1 on the validation samples."""

    run: Path
    arch: str
    parameters: int
    steps: int
    seconds: float
    best_accuracy: float
    best_step: int
    last: dict[str, float]
    stopped_by_signal: int | None = None
    eval_spec: str | None = (
        None  # unseen data to score it on: --val, or the stream; None when part of the data was held out
    )
    unread: str = ""  # why the model is not worth scoring or exporting: what its validations read; "" when it is
