"""Overfit one batch, and name the symptom of a model that does not: a sound model fits a few samples exactly.

Karpathy, "A Recipe for Training Neural Networks", 2019 (https://karpathy.github.io/2019/04/25/recipe/): overfit one
batch before anything else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ocrctl.config.settings import TrainSettings
from ocrctl.diagnose.checks import Check, fail, ok, skipped, some, warn
from ocrctl.diagnose.model.gradients import Reached
from ocrctl.diagnose.model.subject import Fit, Subject, logits_of
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.objectives import Objective
from ocrctl.training.optimizer import build_optimizer, clip

SCORE_EVERY = 20  # optimiser steps
LEARNED_LOSS = 0.01  # of the loss of the first step: below it the maps of a detector equal their targets
LEARNED_WORDS = 0.5  # share of the words that boxes match then; fewer point to find_polygons or its thresholds
OTHER_RATES = (10.0, 0.1)  # of train.lr, to tell whether the learning rate is the cause

MODES = (
    "check what depends on self.training: statistics of batch normalisation (momentum, batch size), dropout, branches"
)
BETTER_IN_TRAINING = "the model is better while it trains than it will ever be in eval, predict and export"


@dataclass
class Overfitted:
    """One attempt to overfit a batch: steps taken, loss of the first and the last step, the last score (None when the
    loss was not finite before the first), and parameters that did not change."""

    steps: int
    first: float
    last: float
    fit: Fit | None
    unchanged: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Return whether the batch is overfitted."""
        return self.fit is not None and self.fit.complete

    @property
    def learned(self) -> bool:
        """Return whether a detector has learned the maps of the batch, from which not all words can be decoded."""
        return self.fit is not None and self.fit.boxed >= LEARNED_WORDS and self.last <= LEARNED_LOSS * self.first


def overfit(
    model: OCRModel,
    objective: Objective,
    batch: dict[str, Any],
    score: Callable[[OCRModel, Any], Fit],
    train: TrainSettings,
    steps: int,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Overfitted:
    """Train `model` on `batch` with the constant rate train.lr until `score` says that it is overfitted, `steps` at
    most. Leaves the model in training mode."""
    optimizer = build_optimizer(model, train)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    first = last = float("nan")
    fit: Fit | None = None
    number = 0
    for number in range(1, steps + 1):
        torch.manual_seed(number)
        loss = objective(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        clip(list(model.parameters()), train.clip_norm, None)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if number == 1:
            first = last = float(loss.detach())
        on_step(number, steps)
        if number % SCORE_EVERY == 0 or number == steps:
            last = float(loss.detach())
            if not math.isfinite(last):
                break
            model.eval()
            with torch.no_grad():
                fit = score(model, batch)
            model.train()
            if fit.complete:
                break
    after = dict(model.named_parameters())
    unchanged = [name for name, value in before.items() if bool((after[name] == value).all())]
    return Overfitted(number, first, last, fit, unchanged)


def check_learning(
    subject: Subject, found: Reached, steps: int, on_step: Callable[[int, int], None]
) -> tuple[list[Check], OCRModel]:
    """Overfit the batch; returns the rows `overfit` and `train/eval`, and the model after it."""
    model = subject.build()

    def attempt(model: OCRModel, train: TrainSettings) -> Overfitted:
        return overfit(model, subject.objective, subject.batch, subject.score, train, steps, on_step)

    result = attempt(model, subject.train)
    if result.complete:
        assert result.fit is not None
        detail = f"in {result.steps} steps at learning rate {subject.train.lr:g}, {result.fit.score}, loss"
        row = ok("overfit", f"{detail} {result.first:.3g} to {result.last:.3g}")
        return [row, _train_eval(subject, model, result)], model
    gap = _train_eval(subject, model, result)
    if result.learned and gap.status != "fail":
        return [_learned(result), gap], model
    other = None
    if gap.status != "fail" and not found.absent and not found.zero and subject.train.lr:
        for share in OTHER_RATES if result.last < result.first else reversed(OTHER_RATES):
            train = subject.train.model_copy(update={"lr": subject.train.lr * share})
            if attempt(subject.build(), train).complete:
                other = train.lr
                break
    return [_symptom(subject, result, found, other, gap), gap], model


def _learned(result: Overfitted) -> Check:
    assert result.fit is not None
    detail = f"in {result.steps} steps loss {result.first:.3g} to {result.last:.3g}, {result.fit.score}"
    return warn(
        "overfit",
        f"{detail}; {result.fit.mistake}",
        "see the row `grid`: a larger training image or zoom; in a plug-in, find_polygons against the targets",
        "the maps are learned, but words of a few cells are not decoded from them exactly",
    )


def _symptom(subject: Subject, result: Overfitted, found: Reached, other: float | None, gap: Check) -> Check:
    """Return the row of a batch that was not overfitted, with the most specific cause that was found."""
    score = "no score" if result.fit is None else result.fit.score
    detail = f"not in {result.steps} steps: loss {result.first:.3g} to {result.last:.3g}, {score}"
    texts = [] if result.fit is None else list(result.fit.found)
    rate = subject.train.lr
    if other is not None:
        direction = "high" if other < rate else "low"
        meaning = f"the learning rate is too {direction}: {other:g} overfits the batch, {rate:g} does not"
        return fail("overfit", detail, f"--set train.lr={other:g}", meaning)
    dead = [*found.absent, *found.zero]
    if dead:
        meaning = f"a frozen branch: no gradient reaches {some(dead)}, so the model cannot use what that part computes"
        return fail("overfit", detail, "see the row `gradient`", meaning)
    if not math.isfinite(result.last):
        return fail("overfit", detail, "see the rows `loss` and `saturation`", "the weights became NaN while training")
    if texts and not any(texts):
        if subject.autoregressive:
            cause = "BOS->EOS collapse: the decoder ends every text at once"
            fix = "check that [EOS] is not masked out of the loss of every step, and that targets are shifted by one"
        elif subject.ctc:
            cause = "all blank: every step predicts class 0, and the images have no influence"
            fix = "check that features reach the head, that blank is class 0, and that there are enough steps"
        else:
            cause = "no box: the map stays below its threshold"
            fix = "check targets against images, the weight of text in the loss, and the thresholds of the card"
        return fail("overfit", detail, fix, cause)
    if len(texts) > 1 and len(set(texts)) == 1 and not subject.spec.detector:
        meaning = f"one text for every image ({texts[0]!r}): the output does not depend on the image"
        return fail("overfit", detail, "check that the encoder's features reach the decoder", meaning)
    if gap.status == "fail":
        return fail("overfit", detail, "see the row `train/eval`", "the batch is learned, but lost in evaluation mode")
    mistake = "" if result.fit is None or not result.fit.mistake else f"; {result.fit.mistake}"
    meaning = "the model cannot represent a few samples: it will not learn a data set"
    return fail("overfit", detail + mistake, "try --steps 1000; check labels, targets and the loss", meaning)


def _train_eval(subject: Subject, model: OCRModel, result: Overfitted) -> Check:
    """Compare predictions on the overfitted batch in training and in evaluation mode, and of an autoregressive model
    the characters under teacher forcing with those that it generates."""
    name = "train/eval"
    if not math.isfinite(result.last) or result.fit is None:
        return skipped(name, "the loss is not finite")
    fit = result.fit
    batch = subject.batch
    with torch.no_grad():
        torch.manual_seed(subject.seed)
        loss = float(subject.objective(model, batch))  # training mode
        trained = _forced(subject, model) if subject.autoregressive else None
        names = _outputs(subject, model)
        model.eval()
        left_out = names - _outputs(subject, model)
        torch.manual_seed(subject.seed)
        evaluated = "" if left_out else f", {float(subject.objective(model, batch)):.3g} in evaluation mode"
        forced = _forced(subject, model) if subject.autoregressive else None
        model.train()
        as_trained = fit if subject.autoregressive else _in_training_mode(subject, model)
    losses = f"loss {loss:.3g} in training mode{evaluated}"
    if left_out:
        losses += f", where alone {some(sorted(left_out))} is computed"
    if trained == 1.0 and forced is not None and forced < 1.0 and not fit.complete:
        seen = f"under teacher forcing every character is right in training mode, {forced:.0%} in evaluation mode"
        return fail(name, f"{seen}; {losses}", MODES, BETTER_IN_TRAINING)
    if forced == 1.0 and not fit.complete:
        return fail(
            name,
            f"teacher forcing reads every character, generation {fit.score}; {fit.mistake}",
            "compare `generate` with `forward`: the same [BOS], positions, masks and key/value cache at each step",
            "the inference loop does not compute what was trained: accuracy is far below what the loss says",
        )
    if as_trained.complete and not fit.complete:
        return fail(
            name,
            f"{as_trained.score} in training mode, {fit.score} in evaluation mode; {losses}",
            MODES,
            BETTER_IN_TRAINING,
        )
    return ok(name, f"{fit.score} in evaluation mode; {losses}")


def _outputs(subject: Subject, model: OCRModel) -> set[str]:
    """Return the names of the maps that a detector returns in its present mode: a loss may need more than inference."""
    return set(model(subject.batch["images"])) if subject.spec.task == "detection" else set()


def _in_training_mode(subject: Subject, model: OCRModel) -> Fit:
    """Score in training mode; statistics of batch normalisation do not change."""
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    fit = subject.score(model, subject.batch)
    for name, value in model.named_buffers():
        value.copy_(statistics[name])
    return fit


def _forced(subject: Subject, model: OCRModel) -> float:
    """Return the share of characters that are right under teacher forcing."""
    labels: Tensor = subject.batch["labels"]
    logits = logits_of(model(subject.batch["images"], labels, **subject.widths(subject.batch)))
    wanted = labels[:, 1:]
    counted = wanted != len(subject.card.charset) + 2  # [PAD]
    return float(((logits.argmax(-1) == wanted) & counted).sum() / counted.sum())
