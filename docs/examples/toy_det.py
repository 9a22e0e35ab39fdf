"""A small text detector as a plug-in: one map, a quarter of the image's size, of where text is.

    ocrctl train toy-det --plugin toy_det.py -d pages/ -o runs/toy

It brings its own loss, targets (polygons to maps, numpy only) and postprocess (maps to polygons, numpy only).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import DetectorSpec, ModelSpec
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.models.family import ModelFamily
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.outlines.detections import NO_DETECTIONS, Detections, check_map
from ocrctl.models.outlines.regions import means, outlines, rectangles

STRIDE = 4  # pixels for each cell of the map
# Channels of the features. Multiples of 16 alone: of others, PyTorch 2.13 computes the bfloat16 gradient of a dilated
# convolution wrongly on CPUs with AVX512-BF16, which `ocrctl diagnose model` reports.
WIDTH = 32


class Decoder(nn.Module):
    """One more convolution, with a wide view."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2)

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Tensor:
        """(N, WIDTH, h, w), same shape. A detector ignores `targets`."""
        return torch.relu(self.layer(features))


class Head(nn.Module):
    """Logits of text."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, states: Tensor) -> dict[str, Tensor]:
        """(N, WIDTH, h, w) to {"text": (N, h, w)}."""
        return {"text": self.layer(states).squeeze(1)}


def build(card: ModelCard, classes: int = 0) -> OCRModel:
    """The untrained model."""
    first, second = (nn.Conv2d(inside, WIDTH, 3, stride=2, padding=1) for inside in (3, WIDTH))
    encoder = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())  # (N, 3, H, W) to (N, WIDTH, H / 4, W / 4)
    return OCRModel(encoder, Decoder(), Head(), mean=card.mean, std=card.std)


def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Cross entropy of each cell, float32; ignored regions cost nothing."""
    with torch.autocast(outputs["text"].device.type, enabled=False):
        care = targets["care"].float()
        text = targets["text"].float()
        each = F.binary_cross_entropy_with_logits(outputs["text"].float(), text, reduction="none")
        return (each * care).sum() / care.sum().clamp(min=1)


def targets(words: PageWords, height: int, width: int) -> dict[str, NDArray[Any]]:
    """Maps (height / 4, width / 4) of one image, uint8: `text` within words, `care` outside of ignored ones."""
    text = np.zeros((height // STRIDE, width // STRIDE), np.uint8)
    care = np.ones_like(text)
    for index in range(len(words)):
        points = np.rint(words.polygon(index) / STRIDE).astype(np.int32)
        cv2.fillPoly(care if words.ignore[index] else text, [points], 0 if words.ignore[index] else 1)
    return {"text": text, "care": care}


def find_polygons(
    text: NDArray[np.float32], *, polygons: bool = False, threshold: float = 0.5, box_threshold: float = 0.6
) -> Detections:
    """Regions above `threshold` with a mean of at least `box_threshold`, in cells of the map (h, w)."""
    text = check_map(text)
    count, labels = cv2.connectedComponents((text > threshold).astype(np.uint8), connectivity=4)
    scores = means(labels, text, count - 1)
    kept = np.flatnonzero(scores >= box_threshold)
    if not len(kept):
        return NO_DETECTIONS
    numbers = np.zeros(count, np.int32)
    numbers[kept + 1] = np.arange(1, len(kept) + 1)
    if polygons:
        return outlines(numbers[labels], scores[kept], np.zeros(len(kept), np.int64))
    grown = rectangles(numbers[labels], len(kept)).expanded(np.full(len(kept), 0.5))
    return Detections.from_quads(grown.corners(), scores[kept])


SPEC = ModelSpec(
    name="toy-det", task="detection", family="toy-det", summary="A plug-in: one map of text, trained at 640x640 RGB",
    input_height=640, input_width=640, channels=3, stride_h=STRIDE, stride_w=STRIDE, size_multiple=32, lr=3e-3,
    tokenizer=None, max_label_length=0, default_charset="",
    detector=DetectorSpec(
        maps={"text": "sigmoid"}, map_stride=STRIDE, finest_stride=STRIDE, score_threshold="box_threshold",
        thresholds={"threshold": 0.5, "box_threshold": 0.6},
    ),
)  # fmt: skip
FAMILY = ModelFamily(
    name="toy-det", specs=(SPEC,), build=build, objective="maps", loss=loss, targets=targets,
    find_polygons=find_polygons,
)  # fmt: skip
