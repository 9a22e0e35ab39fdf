"""Replay a step with non-finite loss or gradients from the quarantine folder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ocrctl.config.settings import TrainSettings
from ocrctl.diagnose.checks import Check, Diagnosis, count, fail, ok, skipped, some, with_examined
from ocrctl.diagnose.quarantined import read_step
from ocrctl.models.finite import names_not_finite
from ocrctl.models.freeze import freeze
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.device import DTYPES
from ocrctl.training.distillation import distillation
from ocrctl.training.nonfinite_samples import find_nonfinite_samples
from ocrctl.training.objectives import Objective, choose_objective

SHOWN = 5  # names listed in a row
DIVERGED = "training cannot continue from here"
EXAMINED = {
    "weights": "the weights before the step",
    "samples": "loss and gradients of each sample of the step alone",
    "forward": "the outputs of every layer",
    "loss": "the loss of the whole step",
    "gradients": "the gradients of the whole step",
}


def replay(folder: Path) -> Diagnosis:
    """Run the step in `folder` (RUN/quarantine/step-...) again: same weights, batch, random state and precision.

    Float16 runs on the CPU without a loss scale. Raises InputError when `folder` is not such a folder.
    """
    read = read_step(folder)
    meta, card, model, batches = read.facts.model_dump(), read.card, read.model, read.batches
    model.norm_frozen = meta["norm_frozen"]
    freeze(model, meta["freeze"])
    model.train()
    objective = choose_objective(card, TrainSettings(label_smoothing=meta["label_smoothing"]))
    if read.base is not None:
        base_card, base = read.base
        weight, temperature = meta["keep_weight"], meta["keep_temperature"]
        objective = distillation(objective, base, base_card, card, weight, temperature)
    dtype = DTYPES.get(meta["precision"])

    def autocast() -> Any:
        return torch.autocast("cpu", dtype, enabled=dtype is not None)

    broken = names_not_finite(model.state_dict())
    checks = [
        _weights(broken),
        _samples(model, objective, batches, meta, autocast)
        if not broken
        else skipped("samples", "with these weights no sample can be finite"),
        *_step(model, objective, batches, meta, autocast),
    ]
    return Diagnosis(
        f"replay of step {meta['step']}", with_examined(checks, EXAMINED), f"step {meta['step']}: {count(checks)}"
    )


def _weights(bad: list[str]) -> Check:
    if bad:
        return fail(
            "weights",
            f"{some(bad, SHOWN)} not finite before the step",
            "go on from an older checkpoint, lower train.lr",
            "an earlier step broke the model; this one only showed it",
        )
    return ok("weights", "all finite before the step")


def _samples(model: OCRModel, objective: Objective, batches: list[Any], meta: dict[str, Any], autocast: Any) -> Check:
    """Find the samples to blame, as training does, and compare with its sentence."""

    def name(number: int) -> str:
        return f"{meta['locations'].get(str(number), number)} (draw {number})"

    def kept_location(number: int) -> str:
        return str(meta["kept_locations"].get(str(number), number))

    verdict = find_nonfinite_samples(model, objective, batches, meta["seed"], autocast)
    sentence = verdict.sentence(lambda number: str(meta["locations"].get(str(number), number)), kept_location)
    found = meta["sentence"] or sentence
    apart = "" if sentence == found else f"; training on {meta['device']} found: {found}"
    if verdict.alone:
        named = f": {some([name(number) for number in verdict.to_blame], SHOWN)}" if verdict.to_blame else ""
        fix = "inspect them: ocrctl dataset validate; or exclude them: --resume --set train.on_nonfinite=skip"
        return fail(
            "samples",
            f"{sentence}{named}{apart}",
            fix if verdict.to_blame else "lower train.lr, or train.precision=32-true",
            "these samples end the run whenever they are drawn" if verdict.to_blame else "the model is the cause",
        )
    if verdict.kept_alone:
        named = f": {some([kept_location(number) for number in verdict.kept_alone], SHOWN)}"
        fix = "inspect them; or skip steps that are not finite: --resume --set train.on_nonfinite=skip"
        return fail(
            "samples", f"{sentence}{named}{apart}", fix, "these kept images end the run whenever they are drawn"
        )
    low, high = verdict.losses or (float("nan"), float("nan"))
    return ok("samples", f"each finite alone, losses {low:.3g} to {high:.3g}{apart}")


def _step(
    model: OCRModel, objective: Objective, batches: list[Any], meta: dict[str, Any], autocast: Any
) -> list[Check]:
    first: list[str] = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            values = output.values() if isinstance(output, dict) else output if isinstance(output, tuple) else [output]
            if not first and any(isinstance(v, Tensor) and not bool(torch.isfinite(v).all()) for v in values):
                first.append(name)

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in model.named_modules() if name]
    torch.manual_seed(meta["seed"])
    total = 0.0
    for batch in batches:
        with autocast():
            loss = objective(model, batch) / len(batches)
        loss.backward()
        total += float(loss.detach())
    for handle in handles:
        handle.remove()
    lower = "lower train.lr or train.clip_norm; train.precision=32-true shows whether the precision is to blame"
    outputs = (
        fail("forward", f"first not finite in {first[0]}", lower, DIVERGED)
        if first
        else ok("forward", "all outputs finite")
    )
    losses = ok("loss", f"{total:.4g}") if np.isfinite(total) else fail("loss", f"{total}", lower, DIVERGED)
    bad = [n for n, p in model.named_parameters() if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
    gradients = (
        fail("gradients", f"{some(bad, SHOWN)} not finite", lower, DIVERGED) if bad else ok("gradients", "all finite")
    )
    return [outputs, losses, gradients]
