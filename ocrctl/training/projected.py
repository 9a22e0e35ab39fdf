"""Estimate the memory of one training step for `ocrctl train --estimate`."""

from __future__ import annotations

import torch
from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.errors import UsageError
from ocrctl.models.family import load_part
from ocrctl.models.memory import TrainingMemory, training_memory
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import family_of
from ocrctl.training.device import Accelerator


def estimate_memory(card: ModelCard, train: TrainSettings, accelerator: Accelerator) -> TrainingMemory:
    """Estimate the memory of one step of `card`'s model with the settings `train` (batch, precision, layout, average)
    on one device.

    Images and targets have their real shapes and no content. What the loader's processes hold is not in it.
    Raises UsageError for an autoregressive model, whose step depends on values.
    """

    def step(model: OCRModel, images: Tensor) -> Tensor:
        if card.task == "detection":
            loss: Tensor = load_part(family_of(card.arch).loss)(model(images), blank_targets(card, len(images)))
            return loss
        # CTC asks for the labels' values, which are not there; its own tables are small.
        named = {} if card.kept is None else {"widths": torch.full((len(images),), card.width)}
        logits: Tensor = model(images, **named)["logits"]
        return logits.float().log_softmax(-1).square().mean()

    if family_of(card.arch).objective not in ("ctc", "maps"):
        raise UsageError(f"{card.arch}: memory is projected for detectors and CTC models only.")

    return training_memory(
        card,
        step,
        batch=train.batch_size,
        precision=accelerator.precision,
        device=accelerator.device,
        channels_last=train.channels_last,
        averaged=train.ema > 0,
    )


def blank_targets(card: ModelCard, pages: int) -> dict[str, Tensor]:
    """Return the targets of `pages` pages without text, in the types and sizes that data/datasets/collate.py hands
    over."""
    maps = load_part(family_of(card.arch).targets)(PageWords.of([], [], [], []), card.height, card.width)
    return {name: torch.from_numpy(found).expand(pages, *found.shape).clone() for name, found in maps.items()}
