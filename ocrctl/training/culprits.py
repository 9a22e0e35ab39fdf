"""Which samples make a step not finite: the one verdict that training and `diagnose replay` give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.batches import one_row
from ocrctl.training.objectives import Objective


@dataclass(frozen=True)
class Verdict:
    """Draw numbers of all samples of a step, and of those whose loss or gradients are not finite alone; the smallest
    and the largest finite loss (None without one)."""

    numbers: list[int]
    alone: list[int]
    losses: tuple[float, float] | None

    @property
    def culprits(self) -> list[int]:
        """The samples to blame: not when each of several gives it, which is the model's doing."""
        return self.alone if len(self.alone) < len(self.numbers) or len(self.numbers) == 1 else []

    def sentence(self, name: Callable[[int], str]) -> str:
        """What is to blame, in words; `name` says where the sample of a draw number is."""
        total = len(self.numbers)
        if not self.alone:
            return f"none of its {total} samples gives it alone, only the batch as a whole"
        if not self.culprits:
            return f"each of its {total} samples gives it alone, so the model and not the data does"
        return f"{len(self.alone)} of its {total} samples alone give it, first {name(self.alone[0])}"


def find_culprits(
    model: OCRModel,
    objective: Objective,
    batches: Sequence[dict[str, Any]],
    seed: int,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> Verdict:
    """Run every sample of `batches` (tensors on the model's device, `ids` the draw numbers) alone, both ways.

    `seed` is that of the step's random state. The model's weights, gradients and statistics are left as they were.
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
    return Verdict(numbers, alone, (min(losses), max(losses)) if losses else None)
