"""MobileNetV3-Large.

Howard et al., "Searching for MobileNetV3", 2019 (https://arxiv.org/abs/1905.02244), table 1. Tensor names are
torchvision's. The last 1x1 convolution (160 to 960 channels) belongs to the classifier and is omitted.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ocrctl.config.feature_grid import Stride, Strides
from ocrctl.models.backbones.backbone import Backbone
from ocrctl.models.layers.init import init_convolutions


@dataclass(frozen=True)
class BlockSpec:
    """One block: kernel size, expanded channels, output channels, squeeze-and-excitation, hard swish, stride."""

    kernel: int
    inside: int
    out: int
    excited: bool
    swish: bool
    stride: int


LARGE = (
    BlockSpec(3, 16, 16, False, False, 1),
    BlockSpec(3, 64, 24, False, False, 2),
    BlockSpec(3, 72, 24, False, False, 1),
    BlockSpec(5, 72, 40, True, False, 2),
    BlockSpec(5, 120, 40, True, False, 1),
    BlockSpec(5, 120, 40, True, False, 1),
    BlockSpec(3, 240, 80, False, True, 2),
    BlockSpec(3, 200, 80, False, True, 1),
    BlockSpec(3, 184, 80, False, True, 1),
    BlockSpec(3, 184, 80, False, True, 1),
    BlockSpec(3, 480, 112, True, True, 1),
    BlockSpec(3, 672, 112, True, True, 1),
    BlockSpec(5, 672, 160, True, True, 2),
    BlockSpec(5, 960, 160, True, True, 1),
    BlockSpec(5, 960, 160, True, True, 1),
)


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from the mean of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _round_to_eight(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.ReLU()
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to the same shape."""
        mean = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * self.gate(self.fc2(self.activation(self.fc1(mean))))


class InvertedResidual(nn.Module):
    """Inverted residual block: 1x1 expansion, depthwise convolution, 1x1 projection; a shortcut where shapes match."""

    def __init__(self, in_channels: int, row: BlockSpec, stride: Stride) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if row.inside != in_channels:
            layers.append(conv_norm(in_channels, row.inside, 1, swish=row.swish))
        layers.append(
            conv_norm(row.inside, row.inside, row.kernel, stride, groups=row.inside, swish=row.swish)
        )  # fmt: skip
        if row.excited:
            layers.append(SqueezeExcitation(row.inside))
        layers.append(conv_norm(row.inside, row.out, 1, swish=None))
        self.block = nn.Sequential(*layers)
        self.has_shortcut = stride == (1, 1) and in_channels == row.out

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, out, h / stride[0], w / stride[1])."""
        y: Tensor = self.block(x)
        return y + x if self.has_shortcut else y


def conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: Stride = (1, 1), groups: int = 1, *, swish: bool | None
) -> nn.Sequential:
    """Build convolution, batch normalisation and hard swish (True), ReLU (False) or no activation (None)."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(out_channels, eps=1e-3)  # default momentum, see efficientnet.norm
    if swish is None:
        return nn.Sequential(conv, norm)
    return nn.Sequential(conv, norm, nn.Hardswish() if swish else nn.ReLU())


class MobileNetV3(Backbone):
    """Stem and fifteen blocks; features are taken before each downsampling and at the end."""

    channels = (24, 40, 112, 160)
    classifier = ("features.16.", "classifier.")

    def __init__(self, strides: Strides | None = None) -> None:
        """`strides`: of the stem and of the four blocks that halve the features."""
        super().__init__()
        stem, *later = self.halvings(strides, 5)
        layers: list[nn.Module] = [conv_norm(3, 16, 3, stem, swish=True)]
        in_channels = 16
        for row in LARGE:
            layers.append(InvertedResidual(in_channels, row, later.pop(0) if row.stride == 2 else (1, 1)))
            in_channels = row.out
        self.features = nn.Sequential(*layers)
        self.out_indices = (3, 6, 12, 15)  # blocks whose output is a feature map
        init_convolutions(self)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the prefixes of each layer (Backbone): the stem, then the blocks."""
        return tuple((f"features.{index}.",) for index in range(len(self.features)))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to four feature maps at strides 4, 8, 16, 32."""
        x, features = images, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.out_indices:
                features.append(x)
        return tuple(features)


def _round_to_eight(channels: float) -> int:
    """Round to the nearest multiple of 8, minimum 8, never below 90 % of `channels` (as in MobileNetV2's code)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
