"""PAN: a light neck that goes up and down the pyramid several times, and a head of text, kernels and embeddings.

Wang et al., "Efficient and Accurate Arbitrary-Shaped Text Detection with Pixel Aggregation Network", 2019
(https://arxiv.org/abs/1908.05900), section 3: feature pyramid enhancement modules (FPEM) and feature fusion (FFM).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.models.backbones.build import build_backbone, weight_class
from ocrctl.models.layers.init import init_convolutions, init_output_layer
from ocrctl.models.ocr_model import OCRModel

LEVELS = 4  # strides 4, 8, 16, 32
EMBEDDING = 4  # numbers of a pixel's embedding


WIDTHS = {"light": 64, "full": 128}  # channels of each level: 128 in the paper, over ResNets
REPEATS = 2  # FPEMs


def build(card: ModelCard, num_classes: int = 0) -> OCRModel:
    """Build the PAN that `card` describes, with random weights."""
    width, backbone = WIDTHS[weight_class(card)], build_backbone(card)
    neck, head = PANNeck(backbone.channels, width, REPEATS), PANHead(LEVELS * width, width)
    return OCRModel(backbone, neck, head, mean=card.mean, std=card.std)


class Separable(nn.Module):
    """A 3x3 convolution of each channel by itself, then 1x1 with normalisation and ReLU."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False)
        self.pointwise = reduce_to(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, h / stride, w / stride)."""
        y: Tensor = self.pointwise(self.depthwise(x))
        return y


def reduce_to(in_channels: int, width: int) -> nn.Sequential:
    """Return a 1x1 convolution, normalisation and ReLU."""
    return nn.Sequential(nn.Conv2d(in_channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


class FPEM(nn.Module):
    """Feature pyramid enhancement: sums from coarse to fine, then from fine to coarse."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.ModuleList(Separable(width, stride=1) for _ in range(LEVELS - 1))
        self.down = nn.ModuleList(Separable(width, stride=2) for _ in range(LEVELS - 1))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map four features of one width, finest first, to the same shapes."""
        features = list(features)
        for level in range(LEVELS - 2, -1, -1):
            features[level] = self.up[level](resize(features[level + 1], features[level]) + features[level])
        for level in range(1, LEVELS):
            features[level] = self.down[level - 1](resize(features[level], features[level - 1]) + features[level - 1])
        return features


class PANNeck(nn.Module):
    """Every level to one width, FPEMs in a row, their outputs summed level by level and joined at the finest."""

    def __init__(self, in_channels: Sequence[int], width: int, repeats: int) -> None:
        """`width`: channels of each level. `repeats`: FPEMs, 2 in the paper. Raises ValueError without four levels."""
        super().__init__()
        if len(in_channels) != LEVELS:
            raise ValueError(f"expected {LEVELS} features, got channels {in_channels}")
        self.reduce = nn.ModuleList(reduce_to(channels, width) for channels in in_channels)
        self.enhance = nn.ModuleList(FPEM(width) for _ in range(repeats))
        init_convolutions(self)

    def forward(self, features: tuple[Tensor, ...], targets: Tensor | None = None) -> Tensor:
        """Map features at strides 4, 8, 16, 32 to (N, 4 * width, H / 4, W / 4). `targets` is accepted and ignored."""
        states = [reduce(feature) for reduce, feature in zip(self.reduce, features, strict=True)]
        sums: list[Tensor] = []
        for enhance in self.enhance:
            states = enhance(states)
            sums = [total + state for total, state in zip(sums, states, strict=True)] if sums else states
        return torch.cat([sums[0], *(resize(level, sums[0]) for level in sums[1:])], dim=1)


class PANHead(nn.Module):
    """A 3x3 convolution, then 1x1 to text, kernel and embedding."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, 2 + EMBEDDING, 1)
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), last
        )
        init_convolutions(self)
        init_output_layer(last)

    def forward(self, feature: Tensor) -> dict[str, Tensor]:
        """Map (N, C, h, w) to {"text": logits (N, h, w), "kernel": logits (N, h, w), "embedding": (N, 4, h, w)}."""
        maps = self.layers(feature)
        return {"text": maps[:, 0], "kernel": maps[:, 1], "embedding": maps[:, 2:]}


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Resize `x` to the height and width of `like`, bilinearly."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
