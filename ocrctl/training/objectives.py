"""What each kind of decoder learns from a batch: the one place where training tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.errors import UsageError
from ocrctl.losses.ctc import ctc_loss
from ocrctl.losses.detection import DETECTION_LOSSES
from ocrctl.losses.permuted import permuted_loss
from ocrctl.models.ocr_model import OCRModel
from ocrctl.text.tokenizer import ARTokenizer

if TYPE_CHECKING:
    from ocrctl.training.targets.of_outlines import Maps


class Objective(Protocol):
    """A function of the model and a batch (data.recognition.WordBatch as tensors) to a loss on the device."""

    def __call__(self, model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
        """Scalar, float32; waits for nothing."""


def learn_ctc(model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
    """labels: int64 (N, L) class ids, 0 past lengths (N,)."""
    logits = model(batch["images"], batch["labels"])["logits"]
    return ctc_loss(logits, batch["labels"], batch["lengths"])


@dataclass(frozen=True)
class LearnPermuted:
    """Permutation language modelling; `smoothing` in 0..1 is the share of the probability spread over all classes."""

    smoothing: float = 0.0

    def __call__(self, model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
        """labels: int64 (N, L + 1), [BOS] characters [EOS], [PAD] behind, as ARTokenizer encodes them.

        The reading orders are drawn from PyTorch's CPU random state, which the module sets for each step.
        """
        logits = model(batch["images"], batch["labels"])["logits"]
        pad = logits.shape[-1] + 1
        return permuted_loss(logits, batch["labels"], ends=ARTokenizer.eos, pad=pad, smoothing=self.smoothing)


@dataclass(frozen=True)
class LearnMaps:
    """A detector's maps against those of its targets; `loss` is one of losses.detection, `maps` of training.targets."""

    loss: Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]
    maps: Maps

    def __call__(self, model: OCRModel, batch: dict[str, Any]) -> Tensor:
        """targets: maps (N, h, w) by name, as data.page_collate.PageBatch holds them; or outlines, as
        data.outline_collate.OutlineBatch does, from which the maps are made here."""
        if "targets" in batch:
            targets = batch["targets"]
        else:
            targets = self.maps(batch["outlines"], *batch["images"].shape[-2:])
        return self.loss(model(batch["images"]), targets)


def choose_objective(card: ModelCard, train: TrainSettings) -> Objective:
    """What a model with `card`'s decoder learns by. Raises UsageError for a setting that its loss does not have."""
    if card.decoder == "ar":
        return LearnPermuted(train.label_smoothing)
    if train.label_smoothing:
        raise UsageError(f"train.label_smoothing: {card.arch} learns no class per step that could be smoothed.")
    if card.task == "detection":
        from ocrctl.training.targets.of_outlines import MAPS  # geometry that no recogniser waits for

        return LearnMaps(DETECTION_LOSSES[card.decoder], MAPS[card.decoder])
    return learn_ctc
