"""What `ocrctl train --estimate` says of memory: one step of a run's model, loss and settings, without any data."""

from __future__ import annotations

import torch
from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import get_spec
from ocrctl.config.settings import TrainSettings
from ocrctl.errors import UsageError
from ocrctl.losses.detection import DETECTION_LOSSES
from ocrctl.models.memory import TrainingMemory, training_memory
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.device import Placement


def projected_memory(card: ModelCard, train: TrainSettings, placement: Placement) -> TrainingMemory:
    """Memory of one step of `card`'s model as `train` has it (batch, precision, layout, average) on one device.

    Pictures and targets have their real shapes and no content. What the loader's processes hold is not in it.
    Raises UsageError for an autoregressive model, whose step depends on values.
    """

    def step(model: OCRModel, images: Tensor) -> Tensor:
        if card.task == "detection":
            return DETECTION_LOSSES[card.decoder](model(images), blank_targets(card, len(images)))
        # CTC asks for the labels' values, which are not there; its own tables are small.
        logits: Tensor = model(images)["logits"]
        return logits.float().log_softmax(-1).square().mean()

    if card.decoder == "ar":
        raise UsageError(f"{card.arch}: memory is projected for detectors and CTC models; PARSeq draws as it goes.")

    return training_memory(
        card,
        step,
        batch=train.batch_size,
        precision=placement.precision,
        device=placement.device,
        channels_last=train.channels_last,
        averaged=train.ema > 0,
    )


def blank_targets(card: ModelCard, pages: int) -> dict[str, Tensor]:
    """Targets of `pages` pages without text, in the types and sizes that data/datasets/collate.py hands over."""
    spec = get_spec(card.arch)
    shape = (pages, card.height // spec.stride_h, card.width // spec.stride_w)
    flags, shares = torch.zeros(shape, dtype=torch.uint8), torch.zeros(shape, dtype=torch.float16)
    if spec.family == "db":
        return {"shrink": flags, "shrink_mask": flags.clone(), "border": shares, "border_mask": flags.clone()}
    if spec.family == "pan":
        return {"instance": torch.zeros(shape, dtype=torch.int32), "kernel": flags, "mask": flags.clone()}
    return {"region": shares, "affinity": shares.clone(), "mask": flags}
