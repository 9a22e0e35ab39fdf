"""What `diagnose model` examines: a model, its training objective, and a few batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import TrainSettings
from ocrctl.diagnose.checks import Check
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.objectives import Objective

LENGTHS = (2, 6)  # characters of a short and a long label


class Fit(Protocol):
    """How well a model fits one batch."""

    @property
    def complete(self) -> bool:
        """Return whether the batch is overfitted."""

    @property
    def score(self) -> str:
        """Return the score, for messages."""

    @property
    def mistake(self) -> str:
        """Return the first mistake, "" without one."""

    @property
    def found(self) -> Sequence[str]:
        """Return the text of each word image, or "N boxes" of each page, "" for nothing."""

    @property
    def boxed(self) -> float:
        """Return the share of the words of pages that boxes match; 0 for word images."""


@dataclass(frozen=True)
class Subject:
    """One model as a run with its settings would train it.

    build: returns the model with the same weights at each call, in training mode, on `device`. batch: tensors of the
    batch to overfit, on `device`; `score` compares a model with it. more: further batches of the data. locate: draw
    number to the location of its sample. mixed: precision of the settings, "32-true", "16-mixed" or "bf16-mixed".
    grid: rows about the feature grid, which need the labels. size: (height, width) of an image in pixels.
    """

    card: ModelCard
    spec: ModelSpec
    train: TrainSettings
    objective: Objective
    device: torch.device
    build: Callable[[], OCRModel]
    batch: dict[str, Any]
    score: Callable[[OCRModel, Any], Fit]
    more: Sequence[dict[str, Any]]
    locate: Callable[[int], str]
    grid: Sequence[Check]
    seed: int = 0

    @property
    def ctc(self) -> bool:
        """Return whether the model is a recogniser with CTC."""
        return self.spec.tokenizer == "ctc"

    @property
    def autoregressive(self) -> bool:
        """Return whether the model is a recogniser that generates."""
        return self.spec.tokenizer == "ar"

    def made_up(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return labels for an autoregressive model, int64 (2, L + 2), one short, one long, and images of noise, uint8
        (2, C, H, W), on the device."""
        card, classes = self.card, len(self.card.charset) + 1
        short, long = (min(length, card.max_label_length) for length in LENGTHS)
        labels = torch.full((2, long + 2), classes + 1, dtype=torch.int64)  # [PAD]
        labels[:, 0] = classes  # [BOS]
        for row, length in enumerate((short, long)):
            labels[row, 1 : length + 1] = torch.arange(length) % (classes - 1) + 1
            labels[row, length + 1] = 0  # [EOS]
        shape = (2, card.channels, card.height, card.example_width)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        return labels.to(self.device), images.to(self.device)

    def widths(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments of `forward` besides the images."""
        return {"widths": batch["widths"]} if "widths" in batch else {}


def logits_of(outputs: dict[str, Any]) -> torch.Tensor:
    """Return the logits (N, T, K) of a recogniser; of the first reading order where there are several."""
    logits: torch.Tensor = outputs["logits"].float()
    return logits[:, 0] if logits.ndim == 4 else logits
