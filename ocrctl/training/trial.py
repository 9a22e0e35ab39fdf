"""Measure the memory that training steps need: two steps on a batch of the widest images and the longest labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.config.output_steps import longest_label
from ocrctl.config.settings import TrainSettings
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.registry import get_spec
from ocrctl.training.device import DTYPES, Accelerator
from ocrctl.training.ema import WeightAverage
from ocrctl.training.guard import Statistics
from ocrctl.training.objectives import choose_objective, to_device
from ocrctl.training.optimizer import build_optimizer, clip
from ocrctl.training.projected import blank_targets

STEPS = 2  # the optimiser has its states from the first one on, so the second one needs the most


def trial_steps(card: ModelCard, train: TrainSettings, accelerator: Accelerator, batch: int) -> int:
    """Run STEPS training steps of `card`'s model with `batch` images of random pixels; returns the bytes of the batch.

    Raises what the steps raise, where memory is missing RuntimeError or MemoryError.
    """
    device = torch.device(accelerator.device)
    model = build_model(card).to(device)
    if train.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if train.activation_checkpointing:
        model.recompute_activations()
    model.train()
    optimizer, objective = build_optimizer(model, train), choose_objective(card, train)
    statistics = Statistics(model)
    average = WeightAverage(model, train.ema) if train.ema else None
    held = torch.zeros((), device=device)
    dtype = DTYPES.get(accelerator.precision)
    samples = trial_batch(card, batch)
    for step in range(STEPS):
        statistics.keep()
        given = to_device(samples, device)
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            loss = objective(model, given)
        loss.backward()  # type: ignore[no-untyped-call]
        clip(list(model.parameters()), train.clip_norm, None)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if average is not None:
            average.update(model, step, held)
    return _bytes(samples)


def trial_batch(card: ModelCard, size: int) -> dict[str, Any]:
    """Return a batch as the loader makes it, with the widest images and the longest labels: images uint8
    (N, C, H, W); for words labels int64 (N, L) and lengths (N,), for pages targets by name (N, h, w)."""
    width = card.width if card.kept is None else card.kept.batch_width(card.width)
    pixels = torch.randint(0, 256, (size, card.height, width, card.channels), dtype=torch.uint8)
    batch: dict[str, Any] = {"images": pixels.permute(0, 3, 1, 2), "ids": torch.arange(size)}
    if card.task == "detection":
        return {**batch, "targets": blank_targets(card, size)}
    spec = get_spec(card.arch, card.width, "stretch" if card.kept is None else "keep")
    text = "".join(card.charset[index % len(card.charset)] for index in range(longest_label(spec)))
    ids = card_tokenizer(card).encode(text)
    batch["labels"] = torch.tensor([ids] * size)
    batch["lengths"] = torch.full((size,), len(ids))
    if card.kept is not None:
        batch["widths"] = torch.full((size,), card.width)
    return batch


def _bytes(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_bytes, value.values()))
    return value.nbytes if isinstance(value, Tensor) else 0
