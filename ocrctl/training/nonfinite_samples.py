"""Find the samples whose loss or gradients are not finite, for training and `diagnose replay`; read their list.

RUN/quarantine/excluded.json lists those that a run no longer draws, as pairs of (source, index in it).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ocrctl.errors import InputError
from ocrctl.files.regular import read_regular
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.distillation import DistillationObjective
from ocrctl.training.objectives import Objective, one_row, without_kept

EXCLUDED = "excluded.json"
_EXCLUDED_OLD = "left_out.json"  # its name in runs of 0.1.0


@dataclass(frozen=True)
class NonfiniteSamples:
    """Draw numbers of all samples of a step, and of those that are not finite when run alone; the minimum
    and maximum finite loss (None if there is none).

    kept, kept_alone: the same of the kept images (--keep), in the numbers of their own stream. new_part: whether some
    batch is not finite without its kept images.
    """

    numbers: list[int]
    alone: list[int]
    losses: tuple[float, float] | None
    kept: list[int] = field(default_factory=list)
    kept_alone: list[int] = field(default_factory=list)
    new_part: bool = True

    @property
    def to_blame(self) -> list[int]:
        """Return the samples that cause it; empty if every one of several samples does, which points to the model."""
        return _some_of(self.alone, self.numbers)

    @property
    def kept_to_blame(self) -> list[int]:
        """Return the kept images that cause it; empty as `to_blame` is."""
        return _some_of(self.kept_alone, self.kept)

    @property
    def to_exclude(self) -> list[int]:
        """Return the samples to draw no more: those to blame, or all where only a batch of them causes it."""
        if self.alone:
            return self.to_blame
        return self.numbers if self.new_part and not self.kept_alone else []

    def sentence(self, name: Callable[[int], str], kept_name: Callable[[int], str] = str) -> str:
        """Describe the cause in words; `name` maps a draw number to the location of its sample, `kept_name` that of a
        kept image."""
        total, kept = len(self.numbers), f"{len(self.kept)} kept images (--keep)"
        if not self.alone and not self.kept_alone:
            if not self.new_part:
                return (
                    f"none of its {total} samples and {kept} gives it alone; without the kept images the step is finite"
                )
            return f"none of its {total} samples gives it alone, only the batch as a whole"
        if not self.alone:
            first = f", first {kept_name(self.kept_alone[0])}"
            return f"{len(self.kept_alone)} of its {kept} alone give it{first}; none of its {total} new samples does"
        if not self.to_blame:
            return f"each of its {total} samples gives it alone, so the model and not the data does"
        found = f"{len(self.alone)} of its {total} samples alone give it, first {name(self.alone[0])}"
        if not self.kept_alone:
            return found
        return f"{found}; so do {len(self.kept_alone)} of its {kept}, first {kept_name(self.kept_alone[0])}"


def _some_of(alone: list[int], numbers: list[int]) -> list[int]:
    return alone if len(alone) < len(numbers) or len(numbers) == 1 else []


def find_nonfinite_samples(
    model: OCRModel,
    objective: Objective,
    batches: Sequence[dict[str, Any]],
    seed: int,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> NonfiniteSamples:
    """Run forward and backward on each sample and each kept image of `batches` alone (tensors on the device, `ids` the
    draw numbers).

    `seed`: random seed of the step. Weights, gradients and running statistics of the model do not change.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    statistics = {name: value.clone() for name, value in model.named_buffers()}

    def run(loss_of: Callable[[], Tensor]) -> tuple[Tensor, bool]:
        """Return the loss, and whether it and its gradients are finite."""
        torch.manual_seed(seed)
        with torch.enable_grad(), autocast():
            loss = loss_of()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True) if loss.requires_grad else ()
        return loss, all(bool(torch.isfinite(value).all()) for value in (loss, *gradients) if value is not None)

    numbers: list[int] = []
    alone: list[int] = []
    losses: list[float] = []
    kept: list[int] = []
    kept_alone: list[int] = []
    for batch in batches:
        new = without_kept(batch)
        for row, number in enumerate(batch["ids"].tolist()):
            loss, finite = run(lambda one=one_row(new, row): objective(model, one))  # type: ignore[misc]
            numbers.append(number)
            if not finite:
                alone.append(number)
            if bool(torch.isfinite(loss)):
                losses.append(float(loss.detach()))
        if "kept" in batch and isinstance(objective, DistillationObjective) and objective.weight:
            for row, number in enumerate(batch["kept"]["ids"].tolist()):
                _, finite = run(lambda one=one_row(batch["kept"], row): objective.of_kept(model, one))  # type: ignore[misc]
                kept.append(number)
                if not finite:
                    kept_alone.append(number)
    new_part = True
    if kept and not alone and not kept_alone:
        new_part = not all(run(lambda new=without_kept(b): objective(model, new))[1] for b in batches)  # type: ignore[misc]
    with torch.no_grad():
        for name, value in model.named_buffers():
            value.copy_(statistics[name])
    span = (min(losses), max(losses)) if losses else None
    return NonfiniteSamples(numbers, alone, span, kept, kept_alone, new_part)


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
