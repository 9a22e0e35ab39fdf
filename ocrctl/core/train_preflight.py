"""`train --preflight`: before a long run, can this model learn this data at all?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ocrctl.config.settings import Settings
from ocrctl.data.loader import to_tensors
from ocrctl.errors import CheckFailed, OcrctlError
from ocrctl.models.build import build_model
from ocrctl.models.decoding import best_classes
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.device import place
from ocrctl.training.objectives import choose_objective
from ocrctl.training.optimizer import build_optimizer, clip

if TYPE_CHECKING:
    from ocrctl.core.train_data import TrainingData

SAMPLES = 8  # in the batch that has to be learned by heart
ROUNDS = 300  # optimiser steps it may take
LOOKED_AT = 500  # training samples whose labels are held against the output steps


def preflight(settings: Settings, data: TrainingData, report: Callable[[str], None]) -> None:
    """Look at labels against output steps, let one gradient flow, and learn one batch by heart; report each.

    The run itself is not touched: same weights, same order of samples with or without. Raises CheckFailed when
    something would keep the model from learning, InputError when a sample cannot be read.
    """
    device = torch.device(place(settings.train).device)
    torch.manual_seed(settings.seed)
    model = build_model(data.card).to(device)
    model.train()
    objective = choose_objective(data.card, settings.train)
    problems = [found for found in (_steps(data, report),) if found]
    batch = data.words.__getitems__(list(range(SAMPLES)))
    if isinstance(batch, OcrctlError):
        raise batch
    tensors = {name: value.to(device) for name, value in to_tensors(batch).items()}  # type: ignore[union-attr]
    problems += [found for found in (_gradients(model, objective, tensors, report),) if found]
    texts = [data.words.label(n) for n in range(SAMPLES)]
    problems += [found for found in (_by_heart(model, objective, tensors, texts, settings, data, report),) if found]
    if problems:
        raise CheckFailed(f"preflight: {'; '.join(problems)}.", hint="mend that before a long run")


def _steps(data: TrainingData, report: Callable[[str], None]) -> str | None:
    """Labels against the feature grid: a label that needs more output steps than there are cannot be learned."""
    steps = data.spec.output_steps()
    labels = [data.words.label(n) for n in range(LOOKED_AT)]
    needed = [data.tokenizer.required_steps(label) for label in labels]
    over = sum(n > steps for n in needed)
    report(f"preflight: {steps} output steps; the longest of {len(labels)} labels needs {max(needed)}")
    return (
        f"{over} of {len(labels)} labels need more than the {steps} output steps of {data.spec.name}" if over else None
    )


def _gradients(model: OCRModel, objective: Any, batch: dict[str, Any], report: Callable[[str], None]) -> str | None:
    loss = objective(model, batch)
    loss.backward()
    named = dict(model.named_parameters())
    dead = [name for name, p in named.items() if p.grad is None or not bool((p.grad != 0).any())]
    wild = [name for name, p in named.items() if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
    model.zero_grad(set_to_none=True)
    report(f"preflight: gradient reaches {len(named) - len(dead)} of {len(named)} parameters")
    if wild:
        return f"the gradient of {wild[0]} is not finite"
    return f"no gradient reaches {dead[0]}" + (f" and {len(dead) - 1} more" if len(dead) > 1 else "") if dead else None


def _by_heart(
    model: OCRModel, objective: Any, batch: dict[str, Any], texts: list[str], settings: Settings,
    data: TrainingData, report: Callable[[str], None],
) -> str | None:  # fmt: skip
    optimizer = build_optimizer(model, settings.train)
    first = last = float("nan")
    for number in range(1, ROUNDS + 1):
        torch.manual_seed(number)
        loss = objective(model, batch)
        loss.backward()
        clip(list(model.parameters()), settings.train.clip_norm, None)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if number == 1:
            first = float(loss.detach())
        if number % 20 == 0:
            last = float(loss.detach())
            read = _read(model, batch, data)
            right = sum(a == b for a, b in zip(read, texts, strict=True))
            if right == len(texts):
                report(f"preflight: one batch of {len(texts)} learned by heart in {number} steps")
                return None
    wrong = next((a, b) for a, b in zip(read, texts, strict=True) if a != b)
    report(f"preflight: {right} of {len(texts)} samples learned by heart in {ROUNDS} steps")
    return (
        f"one batch of {len(texts)} was not learned by heart in {ROUNDS} steps (loss {first:.3g} to {last:.3g}; "
        f"{wrong[1]!r} is read as {wrong[0]!r})"
    )


def _read(model: OCRModel, batch: dict[str, Any], data: TrainingData) -> list[str]:
    model.eval()
    with torch.no_grad():
        ids, probabilities = best_classes(model(batch["images"])["logits"])
    model.train()
    return [text for text, _ in data.tokenizer.decode(ids.cpu().numpy(), probabilities.cpu().numpy())]
