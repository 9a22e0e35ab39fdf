"""Adaptive scale fusion: DBNet++ weighs each level of the pyramid at each position before joining them.

Liao et al., "Real-Time Scene Text Detection with Differentiable Binarization and Adaptive Scale Fusion", 2022
(https://arxiv.org/abs/2202.10304), figure 5, with the attention over channels of the release's configurations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ocrctl.models.dbnet.fpn import LEVELS
from ocrctl.models.layers.init import init_convolutions


class AdaptiveScaleFusion(nn.Module):
    """Attention over channels, then over positions, then one weight in 0..1 for each level and position."""

    def __init__(self, width: int) -> None:
        """`width`: channels of the four levels together."""
        super().__init__()
        inside = width // LEVELS
        self.conv = nn.Conv2d(width, inside, 3, padding=1)
        self.by_channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inside, inside // 4, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(inside // 4, inside, 1, bias=False),
            nn.Sigmoid(),
        )
        self.by_place = nn.Sequential(  # named so in stored checkpoints
            nn.Conv2d(1, 1, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(1, 1, 1, bias=False),
            nn.Sigmoid(),
        )
        self.by_level = nn.Sequential(nn.Conv2d(inside, LEVELS, 1, bias=False), nn.Sigmoid())
        init_convolutions(self)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Map four (N, C, h, w) to (N, 4 C, h, w)."""
        levels = levels[::-1]  # coarsest first
        x = self.conv(torch.cat(levels, dim=1))  # (N, C, h, w)
        x = x + self.by_channel(x)
        x = x + self.by_place(x.mean(1, keepdim=True))
        weights = self.by_level(x).unsqueeze(2)  # (N, 4, 1, h, w)
        return torch.cat([weights[:, index] * level for index, level in enumerate(levels)], dim=1)
