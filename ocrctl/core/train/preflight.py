"""`train --preflight`: check before a long run that the model can learn the data."""

from __future__ import annotations

from typing import Any

import torch

from ocrctl.config.settings import Settings
from ocrctl.core.train.task import OverfitBatch, Report, TrainingTask
from ocrctl.data.datasets.loader import to_tensors
from ocrctl.diagnose.model.learning import overfit
from ocrctl.errors import CheckFailed, OcrctlError
from ocrctl.models.build import build_model
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.device import resolve_accelerator
from ocrctl.training.objectives import choose_objective, to_device

MAX_STEPS = 300  # optimiser steps to overfit one batch


def preflight(settings: Settings, task: TrainingTask, report: Report) -> None:
    """Check labels against output steps and the gradient of each parameter, then overfit one batch; report each.

    The run is the same with or without: same weights, same order of samples. Raises CheckFailed when the model cannot
    learn the data, InputError when a sample cannot be read.
    """
    device = torch.device(resolve_accelerator(settings.train).device)
    torch.manual_seed(settings.seed)
    model = build_model(task.card).to(device)
    model.train()
    objective = choose_objective(task.card, settings.train)
    target = task.overfit_batch()
    batch = task.samples.__getitems__(target.numbers)
    if isinstance(batch, OcrctlError):
        raise batch
    tensors = to_device(to_tensors(batch), device)
    problems = [
        task.check_labels(report),
        _check_gradients(model, objective, tensors, report),
        _overfit(model, objective, tensors, target, settings, report),
    ]
    if found := [problem for problem in problems if problem]:
        raise CheckFailed(f"preflight: {'; '.join(found)}.", hint="fix this before a long run")


def _check_gradients(model: OCRModel, objective: Any, batch: dict[str, Any], report: Report) -> str | None:
    """Return the problem when a parameter has no gradient or one that is not finite."""
    loss = objective(model, batch)
    loss.backward()
    named = dict(model.named_parameters())
    dead = [name for name, p in named.items() if p.grad is None or not bool((p.grad != 0).any())]
    not_finite = [name for name, p in named.items() if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
    model.zero_grad(set_to_none=True)
    report(f"preflight: gradient reaches {len(named) - len(dead)} of {len(named)} parameters")
    if not_finite:
        return f"the gradient of {not_finite[0]} is not finite"
    return f"no gradient reaches {dead[0]}" + (f" and {len(dead) - 1} more" if len(dead) > 1 else "") if dead else None


def _overfit(
    model: OCRModel, objective: Any, batch: dict[str, Any], target: OverfitBatch, settings: Settings, report: Report
) -> str | None:
    """Overfit one batch; return the problem when MAX_STEPS steps are not enough."""
    found = overfit(model, objective, batch, target.score, settings.train, MAX_STEPS)
    score = found.fit.score if found.fit else "no score"
    if found.complete or found.learned:
        report(f"preflight: one batch overfitted in {found.steps} steps ({score})")
        return None
    report(f"preflight: one batch not overfitted in {found.steps} steps ({score})")
    return (
        f"one batch was not overfitted in {found.steps} steps (loss {found.first:.3g} to {found.last:.3g}, {score}; "
        f"{found.fit.mistake if found.fit else 'the loss is not finite'})"
    )
