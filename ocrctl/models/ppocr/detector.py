"""The detector of PP-OCRv6: a light backbone, a pyramid of large depthwise kernels, and the head of DBNet.

The PaddleOCR team, PP-OCRv6 (https://github.com/PaddlePaddle/PaddleOCR): backbone PPLCNetV4, neck RepLKFPN
(medium: RepLKPAN, path_aggregation.py), here with its branches and batch normalisation folded into the convolutions, as
the published inference weights have them. Like DBNet (Liao et al., 2019, https://arxiv.org/abs/1911.08947) it reads
boxes off a probability map; the threshold map is of training alone, and its branch is absent in the published weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.ppocr.blocks import PPOCRModel, SqueezeExcite, Stage, Stem, build_stages, init_blocks
from ocrctl.models.ppocr.path_aggregation import PathAggregation

NECK_SLOPE = 0.2  # of the hard sigmoid in the neck; 1/6 in the backbone


@dataclass(frozen=True)
class DetectorSize:
    """Channels of one published size.

    stem: inside the stem; stages: of the four stages; neck: of the pyramid; kernel: side of its depthwise kernels, None
    for the neck of path_aggregation.py.
    """

    stem: int
    stages: tuple[int, int, int, int]
    neck: int
    kernel: int | None


EXCITE = ((True, False), (True, False), (True, False, True, False), (True, False))  # of the blocks of each stage
SIZES = {
    "ppocr-det-tiny": DetectorSize(16, (32, 48, 64, 160), 64, 5),
    "ppocr-det-small": DetectorSize(24, (48, 96, 192, 384), 96, 7),
    "ppocr-det-medium": DetectorSize(64, (128, 256, 512, 896), 256, None),
}


def build(card: ModelCard, num_classes: int = 0) -> OCRModel:
    """Build the detector that `card` describes, with random weights."""
    size = SIZES[card.arch]
    neck: nn.Module
    if size.kernel is None:
        neck = PathAggregation(size.stages, size.neck)
    else:
        neck = LargeKernelPyramid(size.stages, size.neck, size.kernel)
    backbone = Backbone(size, unfold=bool(card.model.get("unfold", False)))
    model = PPOCRModel(backbone, neck, Head(size.neck), mean=card.mean, std=card.std)
    init_blocks(model)
    if isinstance(neck, PathAggregation):
        neck.init_weights()
    return model


class Backbone(nn.Module):
    """A stem to stride 4, then four stages; each but the first halves the sides and sets the channels."""

    def __init__(self, size: DetectorSize, *, unfold: bool = False) -> None:
        super().__init__()
        self.stem = Stem(3, size.stem, size.stages[0])
        stages = [
            Stage(channels, excite, stride=2 if level else 1, downsample=level > 0)
            for level, (channels, excite) in enumerate(zip(size.stages, EXCITE, strict=True))
        ]
        self.stages = build_stages(size.stages[0], stages, unfold=unfold)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the prefixes of the stem and of each stage (OCRModel.layer_depth)."""
        return (("stem.",), *((f"stages.{index}.",) for index in range(len(self.stages))))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to features at strides 4, 8, 16, 32."""
        feature, features = self.stem(images), []
        for stage in self.stages:
            feature = stage(feature)
            features.append(feature)
        return tuple(features)


class LargeKernelPyramid(nn.Module):
    """1x1 convolutions to one width, sums from coarse to fine, and for each level a depthwise convolution with a large
    kernel and a 1x1 convolution to a quarter of the width; the levels are joined at the finest."""

    def __init__(self, in_channels: Sequence[int], width: int, kernel: int) -> None:
        """`width`: channels of the pyramid and of the joined levels; `kernel`: side of the depthwise kernels."""
        super().__init__()
        quarter = width // len(in_channels)
        self.lateral = nn.ModuleList(
            Excited(nn.Conv2d(channels, width, 1, bias=False), width) for channels in in_channels
        )
        self.smooth = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width),
                Excited(nn.Conv2d(width, quarter, 1, bias=False), quarter),
            )
            for _ in in_channels
        )  # fmt: skip

    def forward(self, features: tuple[Tensor, ...], targets: Tensor | None = None) -> Tensor:
        """Map features at strides 4, 8, 16, 32 to (N, width, H / 4, W / 4). `targets` is accepted and ignored."""
        sums = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for level in range(len(sums) - 2, -1, -1):
            sums[level] = sums[level] + F.interpolate(sums[level + 1], scale_factor=2.0, mode="nearest")
        levels = [smooth(level) for smooth, level in zip(self.smooth, sums, strict=True)]
        levels[1:] = [
            F.interpolate(level, scale_factor=float(2**step), mode="nearest")
            for step, level in enumerate(levels[1:], start=1)
        ]  # each (N, width / 4, H / 4, W / 4)
        return torch.cat(levels[::-1], dim=1)


class Excited(nn.Module):
    """A convolution, plus its output weighted by squeeze and excitation."""

    def __init__(self, conv: nn.Conv2d, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.excite = SqueezeExcite(channels, slope=NECK_SLOPE, residual=True)

    def forward(self, feature: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H, W)."""
        excited: Tensor = self.excite(self.conv(feature))
        return excited


class Head(nn.Module):
    """Two branches alike, from stride 4 to the image's own resolution; that of the threshold runs in training only."""

    def __init__(self, width: int) -> None:
        """`width`: channels of the feature; a quarter of it inside."""
        super().__init__()
        self.probability = branch(width, width // 4)
        self.threshold = branch(width, width // 4)

    def forward(self, feature: Tensor) -> dict[str, Tensor]:
        """Map (N, width, h, w) to {"probability": logits (N, 4 h, 4 w)}, and in training {"threshold": float32 in 0..1,
        the same shape}."""
        outputs = {"probability": self.probability(feature).squeeze(1)}
        if self.training:
            outputs["threshold"] = self.threshold(feature).squeeze(1).float().sigmoid()
        return outputs


def branch(width: int, inside: int) -> nn.Sequential:
    """Return a 3x3 convolution and two transposed ones that double the sides, to one channel."""
    return nn.Sequential(
        nn.Conv2d(width, inside, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(inside, inside, 2, 2),
        nn.ReLU(),
        nn.ConvTranspose2d(inside, 1, 2, 2),
    )
