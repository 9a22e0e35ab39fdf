"""Result of a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainResult:
    """Folder and figures of a run; accuracies in 0..1 on the validation samples."""

    run: Path
    arch: str
    parameters: int
    steps: int
    seconds: float
    best_accuracy: float
    best_step: int
    last: dict[str, float]
    stopped_by_signal: int | None = None
    eval_spec: str | None = None  # unseen data for `eval`: --val or the stream; None when data was held out
    unread: str = ""  # reason not to evaluate or export the model, from its validations; "" without one
