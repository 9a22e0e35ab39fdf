"""The neck of the medium detector of PP-OCRv6: sums from coarse to fine, then from fine to coarse.

PaddleOCR 3 (https://github.com/PaddlePaddle/PaddleOCR, Apache-2.0), RepLKPAN: the path aggregation of Liu et al., 2018
(https://arxiv.org/abs/1803.01534) with large depthwise kernels, and the block of Zhang et al., "Context-aware
attention LSTM for text detection", as PaddleOCR uses it ("IntraCL") on each level. Branches and batch normalisation are
folded into the convolutions, as the published inference weights have them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = 9  # side of the depthwise kernels
SIDES = (7, 5, 3)  # of the kernels of a refinement, in order of use


class PathAggregation(nn.Module):
    """1x1 convolutions to one width, sums from coarse to fine, large kernels to a quarter of the width, sums from fine
    to coarse, large kernels again, and a refinement of each level; the levels are joined at the finest."""

    def __init__(self, in_channels: Sequence[int], width: int) -> None:
        """`width`: channels of the lateral features and of the joined levels."""
        super().__init__()
        quarter = width // len(in_channels)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1, bias=False) for channels in in_channels)
        self.smooth = nn.ModuleList(large_kernel(width, quarter) for _ in in_channels)
        self.down = nn.ModuleList(
            nn.Conv2d(quarter, quarter, 3, stride=2, padding=1, bias=False) for _ in in_channels[1:]
        )
        self.aggregate = nn.ModuleList(large_kernel(quarter, quarter) for _ in in_channels)
        self.refine = nn.ModuleList(Refinement(quarter) for _ in in_channels)

    def init_weights(self) -> None:
        """Initialise for training from scratch: convolutions that no activation follows keep the scale, and a
        refinement starts near nothing."""
        for conv in [part for part in self.modules() if isinstance(part, nn.Conv2d)]:
            nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="linear")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        with torch.no_grad():
            for part in self.modules():
                if isinstance(part, Refinement):
                    part.expand.weight.mul_(0.1)

    def forward(self, features: tuple[Tensor, ...], targets: Tensor | None = None) -> Tensor:
        """Map features at strides 4, 8, 16, 32 to (N, width, H / 4, W / 4). `targets` is accepted and ignored."""
        sums = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for level in range(len(sums) - 2, -1, -1):
            sums[level] = sums[level] + F.interpolate(sums[level + 1], scale_factor=2.0, mode="nearest")
        levels = [smooth(level) for smooth, level in zip(self.smooth, sums, strict=True)]
        for level, down in enumerate(self.down):
            levels[level + 1] = levels[level + 1] + down(levels[level])
        levels = [
            refine(aggregate(level))
            for aggregate, refine, level in zip(self.aggregate, self.refine, levels, strict=True)
        ]
        levels[1:] = [
            F.interpolate(level, scale_factor=float(2**step), mode="nearest")
            for step, level in enumerate(levels[1:], start=1)
        ]  # each (N, width / 4, H / 4, W / 4)
        return torch.cat(levels[::-1], dim=1)


def large_kernel(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a depthwise convolution with a large kernel, then a 1x1 convolution."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, KERNEL, padding=KERNEL // 2, groups=in_channels),
        nn.Conv2d(in_channels, out_channels, 1),
    )


class Refinement(nn.Module):
    """At half the channels, a square, a column and a row convolution of each side are summed, from large to small; the
    result is added to the features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = nn.Conv2d(channels, half, 1)
        self.steps = nn.ModuleList(
            nn.ModuleList(
                nn.Conv2d(half, half, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
                for kernel in ((side, side), (side, 1), (1, side))
            )
            for side in SIDES
        )
        self.expand = nn.Conv2d(half, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        found = self.reduce(features)
        for step in self.steps:
            square, column, row = step.children()
            found = square(found) + column(found) + row(found)
        refined: Tensor = features + self.expand(found).relu()
        return refined
