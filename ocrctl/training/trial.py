"""Training steps on made-up batches of the widest images and the longest labels: what memory they need, and whether the
host waits in them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.config.output_steps import longest_label
from ocrctl.config.settings import TrainSettings
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import get_spec
from ocrctl.training.device import DTYPES, Accelerator
from ocrctl.training.ema import WeightAverage
from ocrctl.training.guard import Statistics
from ocrctl.training.objectives import choose_objective, to_device
from ocrctl.training.optimizer import build_optimizer, clip

STEPS = 2  # the optimiser has its states from the first one on, so the second one needs the most


class TrialStep:
    """A model and its optimiser on one device, and training steps on made-up batches, without guard and loss scale."""

    def __init__(
        self, card: ModelCard, train: TrainSettings, accelerator: Accelerator, device: torch.device | None = None
    ) -> None:
        """`device`: one of the accelerator's kind; None: its current one."""
        self.train, self.device = train, device or torch.device(accelerator.device)
        model = build_model(card).to(self.device)
        if train.channels_last:
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if train.activation_checkpointing:
            model.recompute_activations()
        self.model: OCRModel = model.train()
        self.objective = choose_objective(card, train)
        self._optimizer: torch.optim.Optimizer | None = None  # to create one imports torch._dynamo
        self._statistics = Statistics(self.model)
        self._average = WeightAverage(self.model, train.ema) if train.ema else None
        self._held = torch.zeros((), device=self.device)
        self._dtype = DTYPES.get(accelerator.precision)
        self._steps = 0

    def run(self, batch: dict[str, Any], *, update: bool = True) -> None:
        """Run forward, backward and clipping on a batch of `trial_batch` on the device; `update`: and the optimiser."""
        self._statistics.keep()
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype is not None):
            loss = self.objective(self.model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        clip(list(self.model.parameters()), self.train.clip_norm, None)
        if update:
            self._optimizer = self._optimizer or build_optimizer(self.model, self.train)
            self._optimizer.step()
        self.drop_gradients()
        if update and self._average is not None:
            self._average.update(self.model, self._steps, self._held)
        self._steps += update

    def drop_gradients(self) -> None:
        """Free the gradients, also those that a step which failed has left."""
        for parameter in self.model.parameters():  # optimizer.zero_grad imports torch._dynamo, as long as torch itself
            parameter.grad = None


def trial_steps(card: ModelCard, train: TrainSettings, accelerator: Accelerator, batch: int) -> int:
    """Run STEPS training steps of `card`'s model with `batch` images of random pixels; returns the bytes of the batch.

    Raises what the steps raise, where memory is missing RuntimeError or MemoryError.
    """
    step, samples = TrialStep(card, train, accelerator), trial_batch(card, batch)
    for _ in range(STEPS):
        step.run(to_device(samples, step.device))
    return _bytes(samples)


def trial_batch(card: ModelCard, size: int) -> dict[str, Any]:
    """Return a batch as the loader makes it, with the widest images and the longest labels: images uint8
    (N, C, H, W); for words labels int64 (N, L) and lengths (N,), for pages targets by name (N, h, w)."""
    width = card.width if card.kept is None else card.kept.batch_width(card.width)
    pixels = torch.randint(0, 256, (size, card.height, width, card.channels), dtype=torch.uint8)
    batch: dict[str, Any] = {"images": pixels.permute(0, 3, 1, 2), "ids": torch.arange(size)}
    if card.task == "detection":
        from ocrctl.training.projected import blank_targets  # imports what fake tensors need, half a second

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
