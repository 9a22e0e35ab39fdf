"""CRAFT: a U-net over VGG-16, and two maps: of characters, and of links between characters of one word.

Baek et al., "Character Region Awareness for Text Detection", 2019 (https://arxiv.org/abs/1904.01941), figure 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.models.backbones.build import build_backbone
from ocrctl.models.layers.init import init_convolutions, init_output_layer
from ocrctl.models.ocr_model import OCRModel

WIDTHS = (256, 128, 64, 32)  # channels that leave each step of the U-net, coarsest first


def build(card: ModelCard, num_classes: int = 0) -> OCRModel:
    """Build the CRAFT that `card` describes, with random weights."""
    backbone = build_backbone(card)
    return OCRModel(backbone, UNet(backbone.channels, WIDTHS), CRAFTHead(WIDTHS[-1]), mean=card.mean, std=card.std)


class UNet(nn.Module):
    """From the coarsest feature on: join with the next finer one, two convolutions, bring to the next size."""

    def __init__(self, in_channels: Sequence[int], widths: Sequence[int]) -> None:
        """`in_channels`: of the features, finest first. `widths`: channels that leave each step, coarsest first; twice
        as many are inside. Raises ValueError when they are not one fewer than the features."""
        super().__init__()
        coarse_first = list(in_channels)[::-1]
        if len(widths) != len(coarse_first) - 1:
            raise ValueError(f"{len(coarse_first)} features need {len(coarse_first) - 1} widths, got {list(widths)}")
        steps, channels = [], coarse_first[0]
        for feature, width in zip(coarse_first[1:], widths, strict=True):
            steps.append(double_conv(channels + feature, 2 * width, width))
            channels = width
        self.steps = nn.ModuleList(steps)
        init_convolutions(self)

    def forward(self, features: tuple[Tensor, ...], targets: Tensor | None = None) -> Tensor:
        """Map features, finest first, to (N, widths[-1], h, w) at the finest one's size. `targets` is accepted and
        ignored."""
        x = features[-1]
        for step, feature in zip(self.steps, features[-2::-1], strict=True):
            if x.shape[-2:] != feature.shape[-2:]:
                x = F.interpolate(x, size=feature.shape[-2:], mode="bilinear", align_corners=False)
            x = step(torch.cat([x, feature], dim=1))
        return x


def double_conv(in_channels: int, inside: int, out_channels: int) -> nn.Sequential:
    """Return 1x1 and 3x3 convolutions, each with normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, inside, 1),
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.Conv2d(inside, out_channels, 3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class CRAFTHead(nn.Module):
    """Five convolutions without normalisation to two maps."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(16, 2, 1)
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 1),
            nn.ReLU(),
            last,
        )
        init_convolutions(self)
        init_output_layer(last)

    def forward(self, feature: Tensor) -> dict[str, Tensor]:
        """Map (N, C, h, w) to {"region": (N, h, w), "affinity": (N, h, w)}, linear, 0..1 once trained."""
        maps = self.layers(feature)
        return {"region": maps[:, 0], "affinity": maps[:, 1]}
