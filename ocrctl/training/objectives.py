"""Training objectives: CTC, cross entropy, map losses, and objectives defined by a model family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.errors import PluginError, UsageError
from ocrctl.models.family import ModelFamily, load_part
from ocrctl.models.layers.ctc import ctc_loss
from ocrctl.models.layers.whole_batch import batch_mean
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.plugins import HINT, guarded
from ocrctl.models.registry import family_of


class Objective(Protocol):
    """Function from the model and a batch (data.datasets.recognition.WordBatch as tensors) to a loss on the device."""

    def __call__(self, model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
        """Compute the loss: scalar float32, without host synchronisation."""


def ctc_objective(model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
    """Compute the CTC loss. labels: int64 (N, L) class ids, 0 past lengths (N,). widths: int64 (N,), of a model that
    keeps the aspect ratio: steps beyond an image take no part. The output `auxiliary` is a further loss, beside which
    the CTC loss has the weight `model.ctc_weight`."""
    widths = batch.get("widths")
    outputs = model(batch["images"], batch["labels"], **({} if widths is None else {"widths": widths}))
    logits = outputs["logits"]
    steps = None if widths is None else model.steps_of(widths).clamp(max=logits.shape[1])
    loss = ctc_loss(logits, batch["labels"], batch["lengths"], steps)
    return model.ctc_weight * loss + outputs["auxiliary"] if "auxiliary" in outputs else loss


@dataclass(frozen=True)
class CrossEntropyObjective:
    """Cross entropy of the next character with teacher forcing; `smoothing` in 0..1 is the label smoothing
    (Szegedy et al., 2016)."""

    smoothing: float = 0.0

    def __call__(self, model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
        """labels: int64 (N, L + 1), [BOS] characters [EOS] [PAD]..., as ARTokenizer encodes them. The model returns
        logits (N, L, K); step i predicts labels[:, i + 1]. widths: int64 (N,), of a model that keeps the aspect
        ratio."""
        labels = batch["labels"]
        named = {"widths": batch["widths"]} if "widths" in batch else {}
        logits = model(batch["images"], labels, **named)["logits"]
        if logits.shape[:2] != (labels.shape[0], labels.shape[1] - 1):
            raise ValueError(f"logits {tuple(logits.shape)} for targets {tuple(labels.shape)}: expected (N, L, K)")
        pad = logits.shape[-1] + 1
        with torch.autocast(logits.device.type, enabled=False):
            flat = logits.float().flatten(0, 1)  # (N L, K)
            loss = F.cross_entropy(flat, labels[:, 1:].flatten(), ignore_index=pad, label_smoothing=self.smoothing)
            return batch_mean(loss, (labels[:, 1:] != pad).sum())


@dataclass(frozen=True)
class MapObjective:
    """Loss of a detector over predicted and target maps."""

    loss: Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]

    def __call__(self, model: OCRModel, batch: dict[str, Any]) -> Tensor:
        """targets: maps (N, h, w) by name, as in data.datasets.collate.PageBatch."""
        return self.loss(model(batch["images"]), batch["targets"])


@dataclass(frozen=True)
class PluginObjective:
    """The objective of a plug-in's model: its mistakes, and a loss that is none, end the run with a PluginError."""

    objective: Objective
    where: str

    def __call__(self, model: OCRModel, batch: dict[str, Any]) -> Tensor:
        """As Objective."""
        with guarded(self.where, "the loss of a batch"):
            loss = self.objective(model, batch)
        learns = not torch.is_grad_enabled() or (isinstance(loss, Tensor) and loss.requires_grad)
        if not isinstance(loss, Tensor) or loss.shape or not loss.is_floating_point() or not learns:
            found = f"{loss.dtype} {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise PluginError(
                f"{self.where}: the loss of a batch is {found}, expected a floating scalar with a gradient.", hint=HINT
            )
        return loss


def choose_objective(card: ModelCard, train: TrainSettings) -> Objective:
    """Return the training objective of `card`'s model. Raises UsageError for a setting it does not support."""
    family = family_of(card.arch)
    found = _objective(card, train, family)
    return found if family.plugin is None else PluginObjective(found, family.plugin)


def _objective(card: ModelCard, train: TrainSettings, family: ModelFamily) -> Objective:
    smooth = family.objective not in ("ctc", "maps")
    if train.label_smoothing and not smooth:
        raise UsageError(f"train.label_smoothing: {card.arch} does not support label smoothing.")
    if family.objective == "ctc":
        return ctc_objective
    if family.objective == "maps":
        return MapObjective(load_part(family.loss))
    if family.objective == "cross-entropy":
        return CrossEntropyObjective(train.label_smoothing)
    found: Objective = load_part(family.objective)(train)
    return found


def to_device(batch: Any, device: torch.device) -> Any:
    """Move every tensor of a nested batch to `device`."""
    return {name: to_device(v, device) if isinstance(v, dict) else v.to(device) for name, v in batch.items()}


def one_row(batch: Any, row: int) -> Any:
    """Return sample `row` of a nested batch as a batch of one: every tensor (N, ...) becomes (1, ...)."""
    return {name: one_row(v, row) if isinstance(v, dict) else v[row : row + 1] for name, v in batch.items()}


def without_kept(batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch without its kept images."""
    return {name: value for name, value in batch.items() if name != "kept"}
