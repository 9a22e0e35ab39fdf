"""MobileNetV3-Large.

Howard et al., "Searching for MobileNetV3", 2019 (https://arxiv.org/abs/1905.02244), table 1. Tensor names are
torchvision's. The last 1x1 convolution (160 to 960 channels) belongs to the classifier and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ocrctl.models.backbones.backbone import Backbone, init_convolutions


@dataclass(frozen=True)
class Row:
    """One block: kernel side, channels inside, channels out, squeeze-and-excitation, hard swish, stride."""

    kernel: int
    inside: int
    out: int
    excited: bool
    swish: bool
    stride: int


LARGE = (
    Row(3, 16, 16, False, False, 1),
    Row(3, 64, 24, False, False, 2),
    Row(3, 72, 24, False, False, 1),
    Row(5, 72, 40, True, False, 2),
    Row(5, 120, 40, True, False, 1),
    Row(5, 120, 40, True, False, 1),
    Row(3, 240, 80, False, True, 2),
    Row(3, 200, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 480, 112, True, True, 1),
    Row(3, 672, 112, True, True, 1),
    Row(5, 672, 160, True, True, 2),
    Row(5, 960, 160, True, True, 1),
    Row(5, 960, 160, True, True, 1),
)


class SqueezeExcitation(nn.Module):
    """Each channel times a gate that the picture's mean of all channels decides."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _in_eights(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.ReLU()
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w), same shape out."""
        mean = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        return x * self.gate(self.fc2(self.activation(self.fc1(mean))))


class InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by itself, narrow by 1x1; a shortcut where shapes agree."""

    def __init__(self, in_channels: int, row: Row) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if row.inside != in_channels:
            layers.append(conv_norm(in_channels, row.inside, 1, swish=row.swish))
        layers.append(
            conv_norm(row.inside, row.inside, row.kernel, row.stride, groups=row.inside, swish=row.swish)
        )  # fmt: skip
        if row.excited:
            layers.append(SqueezeExcitation(row.inside))
        layers.append(conv_norm(row.inside, row.out, 1, swish=None))
        self.block = nn.Sequential(*layers)
        self.added = row.stride == 1 and in_channels == row.out

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, out, h / stride, w / stride)."""
        y: Tensor = self.block(x)
        return y + x if self.added else y


def conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1, *, swish: bool | None
) -> nn.Sequential:
    """Convolution, normalisation and hard swish (True), ReLU (False) or nothing (None)."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(out_channels, eps=1e-3)  # not the published momentum of 0.01: see efficientnet.norm
    if swish is None:
        return nn.Sequential(conv, norm)
    return nn.Sequential(conv, norm, nn.Hardswish() if swish else nn.ReLU())


class MobileNetV3(Backbone):
    """Stem and fifteen blocks; features leave before each halving and at the end."""

    channels = (24, 40, 112, 160)
    classifier = ("features.16.", "classifier.")

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm(3, 16, 3, 2, swish=True)]
        in_channels = 16
        for row in LARGE:
            layers.append(InvertedResidual(in_channels, row))
            in_channels = row.out
        self.features = nn.Sequential(*layers)
        self.taps = (3, 6, 12, 15)  # blocks whose output is a feature
        init_convolutions(self)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) to four features at strides 4, 8, 16, 32."""
        x, features = images, []
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in self.taps:
                features.append(x)
        return tuple(features)


def _in_eights(channels: float) -> int:
    """The nearest multiple of 8, at least 8 and not below 90 % of `channels` (section 5.1 of MobileNetV2's code)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
