"""Find the samples whose loss or gradients are not finite, for training and `diagnose replay`; read their list.

RUN/quarantine/excluded.json lists those that a run no longer draws, as pairs of (source, index in it).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ocrctl.errors import InputError
from ocrctl.files.regular import read_regular
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.objectives import Objective, one_row

EXCLUDED = "excluded.json"
_EXCLUDED_OLD = "left_out.json"  # its name in runs of 0.1.0


@dataclass(frozen=True)
class NonfiniteSamples:
    """Draw numbers of all samples of a step, and of those that are not finite when run alone; the minimum
    and maximum finite loss (None if there is none)."""

    numbers: list[int]
    alone: list[int]
    losses: tuple[float, float] | None

    @property
    def to_blame(self) -> list[int]:
        """Return the samples that cause it; empty if every one of several samples does, which points to the model."""
        return self.alone if len(self.alone) < len(self.numbers) or len(self.numbers) == 1 else []

    def sentence(self, name: Callable[[int], str]) -> str:
        """Describe the cause in words; `name` maps a draw number to the location of its sample."""
        total = len(self.numbers)
        if not self.alone:
            return f"none of its {total} samples gives it alone, only the batch as a whole"
        if not self.to_blame:
            return f"each of its {total} samples gives it alone, so the model and not the data does"
        return f"{len(self.alone)} of its {total} samples alone give it, first {name(self.alone[0])}"


def find_nonfinite_samples(
    model: OCRModel,
    objective: Objective,
    batches: Sequence[dict[str, Any]],
    seed: int,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> NonfiniteSamples:
    """Run forward and backward on each sample of `batches` alone (tensors on the device, `ids` the draw numbers).

    `seed`: random seed of the step. Weights, gradients and running statistics of the model do not change.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    kept = {name: value.clone() for name, value in model.named_buffers()}
    numbers: list[int] = []
    alone: list[int] = []
    losses: list[float] = []
    for batch in batches:
        for row, number in enumerate(batch["ids"].tolist()):
            torch.manual_seed(seed)
            with torch.enable_grad(), autocast():
                loss = objective(model, one_row(batch, row))
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True) if loss.requires_grad else ()
            finite = all(bool(torch.isfinite(value).all()) for value in (loss, *gradients) if value is not None)
            numbers.append(int(number))
            if not finite:
                alone.append(int(number))
            if bool(torch.isfinite(loss)):
                losses.append(float(loss.detach()))
    with torch.no_grad():
        for name, value in model.named_buffers():
            value.copy_(kept[name])
    return NonfiniteSamples(numbers, alone, (min(losses), max(losses)) if losses else None)


def read_excluded(run: Path) -> frozenset[tuple[int, int]]:
    """Read the excluded samples of a run, none where no step was bad. Raises InputError for a damaged file."""
    samples: set[tuple[int, int]] = set()
    for path in (run / "quarantine" / EXCLUDED, run / "quarantine" / _EXCLUDED_OLD):
        try:
            samples |= {(int(source), int(index)) for source, index in json.loads(read_regular(path).decode())}
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, RecursionError) as error:
            hint = "delete it to draw those samples again"
            raise InputError(f"{path}: cannot be read ({error}).", hint=hint) from error
    return frozenset(samples)
