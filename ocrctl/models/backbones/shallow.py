"""A shallow CNN before layers of self-attention: a few convolutions, each with max pooling.

Lee et al., "On Recognizing Texts of Arbitrary Shapes with 2D Self-Attention", 2019, section 3.1
(https://arxiv.org/abs/1910.04396).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ocrctl.models.layers.columns import clear_columns, strided
from ocrctl.models.layers.init import init_convolutions


@dataclass(frozen=True)
class Stage:
    """One 3x3 convolution of the shallow CNN and the max pooling after it: output channels, stride (down, right)."""

    channels: int
    pool: tuple[int, int]


class ShallowCNN(nn.Module):
    """3x3 convolutions with batch normalisation and ReLU, each followed by max pooling.

    With the columns of each image, padding is cleared before it is pooled, so that an image has the features it has
    alone: no value is below the 0 of the padding.
    """

    def __init__(self, in_channels: int, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.pools = [stage.pool for stage in stages]
        blocks: list[nn.Module] = []
        for stage in stages:
            conv = nn.Conv2d(in_channels, stage.channels, 3, padding=1, bias=False)
            blocks.append(nn.Sequential(conv, nn.BatchNorm2d(stage.channels), nn.ReLU()))
            in_channels = stage.channels
        self.blocks = nn.ModuleList(blocks)
        init_convolutions(self)

    def forward(self, images: Tensor, widths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Map (N, C, H, W) and the columns of each image, int64 (N,), to (N, D, h, w) and the columns there."""
        features = images
        for block, pool in zip(self.blocks, self.pools, strict=True):
            features = block(features)
            if widths is not None:
                features = clear_columns(features, widths)
                widths = strided(widths, pool[1])
            features = nn.functional.max_pool2d(features, pool)
        return features, widths
