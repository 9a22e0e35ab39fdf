"""Keep what the base model could do: a fine-tuned model learns the base's own outputs on kept images.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015 (https://arxiv.org/abs/1503.02531); as a
remedy against forgetting: Li, Hoiem, "Learning without Forgetting", 2016 (https://arxiv.org/abs/1606.09282).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.models.class_rows import shared_rows
from ocrctl.models.find import detector_spec
from ocrctl.models.layers.whole_batch import batch_mean, batch_sum
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import get_spec
from ocrctl.training.objectives import Objective

NORMALISER = 4.0  # pixels of text and three of background for each: what detector losses take the mean over
FEWEST = 500  # pixels of background per image, so that pages without text contribute


@dataclass
class DistillationObjective:
    """An objective plus `weight` times the distance to the base's outputs on the kept images of a batch.

    base: in evaluation mode; it is moved to the device of the first batch. distance: of (model, base, kept images in
    the order (M, C, H, W), further arguments of the forward pass). temperature: of that distance.
    """

    objective: Objective
    base: OCRModel
    base_card: ModelCard
    temperature: float
    distance: Callable[[OCRModel, OCRModel, Tensor, dict[str, Tensor]], Tensor]
    weight: float

    def __call__(self, model: OCRModel, batch: dict[str, Any]) -> Tensor:
        """As Objective; `kept` in the batch is that of data.datasets.kept.BatchWithKept as tensors."""
        loss = self.objective(model, batch)
        kept = batch.get("kept")
        return loss if kept is None or not self.weight else loss + self.of_kept(model, kept)

    def of_kept(self, model: OCRModel, kept: dict[str, Tensor]) -> Tensor:
        """Return `weight` times the distance on the images of `kept`: scalar float32."""
        images = kept["images"].permute(0, 3, 1, 2)
        if self.base.mean.device != images.device:
            self.base.to(images.device)
        named = {"widths": kept["widths"]} if "widths" in kept else {}
        return self.weight * self.distance(model, self.base, images, named)


def distillation(
    objective: Objective, base: OCRModel, base_card: ModelCard, card: ModelCard, weight: float, temperature: float
) -> DistillationObjective:
    """Return `objective` with the distillation that suits the task: of the classes of each step with CTC, of the base's
    readings for an autoregressive model, of the maps for a detector."""
    distance: Callable[[OCRModel, OCRModel, Tensor, dict[str, Tensor]], Tensor]
    if card.task == "detection":
        distance = MapDistance(dict(detector_spec(card.arch).maps))
    else:
        pairs = shared_rows(card.charset, base_card.charset)
        own = torch.tensor([0, *(one + 1 for one, _ in pairs)])
        given = torch.tensor([0, *(other + 1 for _, other in pairs)])
        if get_spec(card.arch).tokenizer == "ctc":
            distance = StepDistance(own, given, temperature)
        else:
            distance = ReadingDistance(objective, own, given, len(card.charset) + 1)
    base.requires_grad_(False)
    return DistillationObjective(objective, base.eval(), base_card, temperature, distance, weight)


@dataclass
class StepDistance:
    """Kullback-Leibler divergence of the class distribution of each output step, times temperature squared.

    own, given: int64 (S,), the classes of both models in its and in the base's numbering. Classes that only the base
    has are left out of its distribution; those that only the model has should get no probability.
    """

    own: Tensor
    given: Tensor
    temperature: float

    def __call__(self, model: OCRModel, base: OCRModel, images: Tensor, named: dict[str, Tensor]) -> Tensor:
        """images: uint8 (M, C, H, W). Returns the mean over the steps of all images: scalar float32."""
        self.own, self.given = self.own.to(images.device), self.given.to(images.device)  # copied once
        own, given = self.own, self.given
        with torch.no_grad():
            targets = base(images, **named)["logits"].float()[..., given]  # (M, T, S)
        logits = model(images, **named)["logits"].float()  # (M, T, K)
        with torch.autocast(images.device.type, enabled=False):
            wanted = (targets / self.temperature).log_softmax(-1)
            found = (logits / self.temperature).log_softmax(-1)[..., own]
            distance = F.kl_div(found, wanted, reduction="none", log_target=True).sum(-1)  # (M, T)
            if "widths" in named:
                steps = model.steps_of(named["widths"])
                valid = torch.arange(distance.shape[1], device=images.device) < steps[:, None]
                distance = torch.where(valid, distance, 0.0)
                return self.temperature**2 * batch_sum(distance.sum()) / batch_sum(valid.sum()).clamp(min=1)
            return self.temperature**2 * batch_mean(distance.mean(), distance.new_full((), distance.numel()))


@dataclass
class ReadingDistance:
    """The model's own objective, with what the base reads as the labels (Kim, Rush, "Sequence-Level Knowledge
    Distillation", 2016, https://arxiv.org/abs/1606.07947): an autoregressive model has no distribution of its own per
    step without a text."""

    objective: Objective
    own: Tensor
    given: Tensor
    num_classes: int

    def __call__(self, model: OCRModel, base: OCRModel, images: Tensor, named: dict[str, Tensor]) -> Tensor:
        """images: uint8 (M, C, H, W). Returns the objective: scalar float32."""
        self.own, self.given = self.own.to(images.device), self.given.to(images.device)  # copied once
        with torch.no_grad():
            read: Callable[..., dict[str, Tensor]] = base.generate  # takes widths where the aspect ratio is kept
            logits = read(images, **named)["logits"].float()[..., self.given]  # (M, T, S)
        ids = self.own[logits.argmax(-1)]  # (M, T)
        return self.objective(model, {"images": images, "labels": as_labels(ids, self.num_classes), **named})


def as_labels(ids: Tensor, num_classes: int) -> Tensor:
    """Convert read classes int64 (M, T), 0 the end, to labels (M, T + 1) as ARTokenizer encodes them: [BOS] characters
    [EOS] [PAD]... . A text without an end is cut by one character."""
    bos, pad = num_classes, num_classes + 1
    ids = torch.cat([ids[:, :-1], torch.zeros_like(ids[:, :1])], 1)
    after = (ids == 0).cumsum(1) - (ids == 0).long() > 0
    ids = torch.where(after, pad, ids)
    return torch.cat([torch.full_like(ids[:, :1], bos), ids], 1)


@dataclass
class MapDistance:
    """Distance of the maps that boxes are found on: the divergence of each pixel's probability, per pixel of text as
    detector losses count them; the mean squared error of linear maps.

    maps: their names and activations, "sigmoid" or "linear".
    """

    maps: Mapping[str, str]

    def __call__(self, model: OCRModel, base: OCRModel, images: Tensor, named: dict[str, Tensor]) -> Tensor:
        """images: uint8 (M, C, H, W). Returns the sum over the maps: scalar float32."""
        with torch.no_grad():
            targets = {name: value.float() for name, value in base(images).items() if name in self.maps}
        outputs = model(images)
        total = images.new_zeros((), dtype=torch.float32)
        with torch.autocast(images.device.type, enabled=False):
            for name, activation in self.maps.items():
                found, wanted = outputs[name].float(), targets[name]
                if activation == "linear":
                    total = total + batch_mean(F.mse_loss(found, wanted), found.new_full((), found.numel()))
                    continue
                share = wanted.sigmoid()
                distance = F.binary_cross_entropy_with_logits(found, share, reduction="sum")
                minimum = F.binary_cross_entropy_with_logits(wanted, share, reduction="sum")
                floor = FEWEST * batch_sum(share.new_full((), len(images)))
                pixels = (NORMALISER * batch_sum(share.sum())).maximum(floor)
                total = total + batch_sum(distance - minimum) / pixels
        return total
