"""`train --preflight`: before a long run, can this model learn this data at all?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ocrctl.config.settings import Settings
from ocrctl.data.datasets.loader import to_tensors
from ocrctl.errors import CheckFailed, OcrctlError
from ocrctl.metrics.hmean import match
from ocrctl.metrics.instances import from_detections, from_words
from ocrctl.models.build import build_model
from ocrctl.models.decoding import best_classes
from ocrctl.models.find import find
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.batches import to_device
from ocrctl.training.device import place
from ocrctl.training.objectives import choose_objective
from ocrctl.training.optimizer import build_optimizer, clip

if TYPE_CHECKING:
    from ocrctl.core.train.pages import PageData
    from ocrctl.core.train.words import TrainingData

Report = Callable[[str], None]
SAMPLES = 8  # words in the batch that has to be learned by heart
PAGES = 2  # pictures of a detector in it
HMEAN = 0.9  # of the boxes found on them
ROUNDS = 300  # optimiser steps it may take
CHECKED_LABELS = 500  # training samples whose labels are held against the output steps


@dataclass(frozen=True)
class Known:
    """How much of a batch is known by heart: whether all of it is, in words, and what is wrong."""

    whole: bool
    share: str
    wrong: str


def preflight(settings: Settings, data: TrainingData | PageData, report: Report) -> None:
    """Look at labels against output steps, let one gradient flow, and learn one batch by heart; report each.

    The run itself is not touched: same weights, same order of samples with or without. Raises CheckFailed when
    something would keep the model from learning, InputError when a sample cannot be read.
    """
    device = torch.device(place(settings.train).device)
    torch.manual_seed(settings.seed)
    model = build_model(data.card).to(device)
    model.train()
    objective = choose_objective(data.card, settings.train)
    pages = data.card.task == "detection"
    numbers = list(range(PAGES if pages else SAMPLES))
    batch = data.words.__getitems__(numbers)
    if isinstance(batch, OcrctlError):
        raise batch
    tensors = to_device(to_tensors(batch), device)
    look = _pages(data, numbers) if pages else _words(data, numbers)  # type: ignore[arg-type]
    problems = [
        None if pages else _steps(data, report),  # type: ignore[arg-type]
        _gradients(model, objective, tensors, report),
        _by_heart(model, objective, tensors, look, settings, report),
    ]
    if found := [problem for problem in problems if problem]:
        raise CheckFailed(f"preflight: {'; '.join(found)}.", hint="mend that before a long run")


def _steps(data: TrainingData, report: Report) -> str | None:
    """Labels against the feature grid: a label that needs more output steps than there are cannot be learned."""
    steps = data.spec.output_steps()
    labels = [data.words.label(n) for n in range(CHECKED_LABELS)]
    needed = [data.tokenizer.required_steps(label) for label in labels]
    over = sum(n > steps for n in needed)
    report(f"preflight: {steps} output steps; the longest of {len(labels)} labels needs {max(needed)}")
    return (
        f"{over} of {len(labels)} labels need more than the {steps} output steps of {data.spec.name}" if over else None
    )


def _gradients(model: OCRModel, objective: Any, batch: dict[str, Any], report: Report) -> str | None:
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
    model: OCRModel, objective: Any, batch: dict[str, Any], look: Callable[[OCRModel, Any], Known],
    settings: Settings, report: Report,
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
            model.eval()
            with torch.no_grad():
                known = look(model, batch)
            model.train()
            if known.whole:
                report(f"preflight: one batch learned by heart in {number} steps ({known.share})")
                return None
    report(f"preflight: in {ROUNDS} steps {known.share} learned by heart")
    return (
        f"one batch was not learned by heart in {ROUNDS} steps (loss {first:.3g} to {last:.3g}, {known.share}; "
        f"{known.wrong})"
    )


def _words(data: TrainingData, numbers: list[int]) -> Callable[[OCRModel, Any], Known]:
    texts = [data.words.label(n) for n in numbers]

    def look(model: OCRModel, batch: dict[str, Any]) -> Known:
        ids, probabilities = best_classes(model(batch["images"])["logits"])
        read = [text for text, _ in data.tokenizer.decode(ids.cpu().numpy(), probabilities.cpu().numpy())]
        wrong = [f"{truth!r} is read as {text!r}" for truth, text in zip(texts, read, strict=True) if truth != text]
        return Known(not wrong, f"{len(texts) - len(wrong)} of {len(texts)} words", (wrong or [""])[0])

    return look


def _pages(data: PageData, numbers: list[int]) -> Callable[[OCRModel, Any], Known]:
    words = [data.words.sample(n)[1] for n in numbers]
    truth = from_words(words)

    def look(model: OCRModel, batch: dict[str, Any]) -> Known:
        outputs = {name: value.float().cpu().numpy() for name, value in model(batch["images"]).items()}
        rows = [{name: value[row] for name, value in outputs.items()} for row in range(len(numbers))]
        found = from_detections([find(data.card.arch, row, data.card.thresholds) for row in rows])
        counts = match(truth, found).total()
        wrong = f"{counts.matched} of {counts.truths} words found by {counts.detections} boxes"
        return Known(counts.hmean >= HMEAN or not counts.truths, f"hmean {counts.hmean:.2f}", wrong)

    return look
