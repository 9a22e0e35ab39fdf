"""The neck of DBNet and DBNet++: a feature pyramid, its levels smoothed, brought to the finest and joined.

Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", 2019 (https://arxiv.org/abs/1911.08947),
figure 3; the pyramid is Lin et al., 2017 (https://arxiv.org/abs/1612.03144).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.layers.init import init_convolutions

LEVELS = 4  # strides 4, 8, 16, 32


class FPN(nn.Module):
    """1x1 convolutions to one width, sums from coarse to fine, a 3x3 convolution to a quarter of it for each level."""

    def __init__(self, in_channels: Sequence[int], width: int, join: nn.Module) -> None:
        """`width`: channels of the pyramid and of the joined levels. `join`: takes the four levels, each (N, width / 4,
        h, w), to one feature. Raises ValueError when four levels do not divide the width."""
        super().__init__()
        if len(in_channels) != LEVELS or width % LEVELS:
            raise ValueError(f"expected {LEVELS} features and a width they divide, got {in_channels} and {width}")
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1, bias=False) for channels in in_channels)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width // LEVELS, 3, padding=1, bias=False) for _ in in_channels)
        init_convolutions(self)
        self.join = join

    def forward(self, features: tuple[Tensor, ...], targets: Tensor | None = None) -> Tensor:
        """Map features at strides 4, 8, 16, 32 to (N, width, H / 4, W / 4). `targets` is accepted and ignored."""
        sums = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for level in range(LEVELS - 2, -1, -1):
            sums[level] = sums[level] + F.interpolate(sums[level + 1], scale_factor=2.0, mode="nearest")
        levels = [smooth(level) for smooth, level in zip(self.smooth, sums, strict=True)]
        levels[1:] = [
            F.interpolate(level, scale_factor=float(2**step), mode="nearest")
            for step, level in enumerate(levels[1:], start=1)
        ]  # each (N, width / 4, H / 4, W / 4)
        joined: Tensor = self.join(levels)
        return joined


class Concatenate(nn.Module):
    """Join the levels unchanged, as DBNet does."""

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Join four (N, C, h, w) to (N, 4 C, h, w)."""
        return torch.cat(levels[::-1], dim=1)
