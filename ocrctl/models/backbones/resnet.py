"""ResNet-18 and ResNet-50.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015 (https://arxiv.org/abs/1512.03385), the stride
of a bottleneck on its 3x3 convolution. Tensor names are torchvision's.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from ocrctl.config.feature_grid import Stride, Strides
from ocrctl.models.backbones.backbone import Backbone
from ocrctl.models.layers.init import init_convolutions


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions."""

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, width: int, stride: Stride) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample = shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, width, h / stride[0], w / stride[1])."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """Residual block of 1x1, 3x3 and 1x1 convolutions, with 4 x `width` output channels."""

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, width: int, stride: Stride) -> None:
        super().__init__()
        out_channels = self.expansion * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, 4 * width, h / stride[0], w / stride[1])."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def shortcut(in_channels: int, out_channels: int, stride: Stride) -> nn.Module:
    """Build the identity where shapes match, else a strided 1x1 convolution with batch normalisation."""
    if stride == (1, 1) and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )  # fmt: skip


class ResNet(Backbone):
    """Stem and four stages; the output of each stage is a feature map."""

    classifier = ("fc.",)

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, int, int, int],
        strides: Strides | None = None,
    ) -> None:
        """`depths`: blocks of each stage; (2, 2, 2, 2) of BasicBlock is ResNet-18, (3, 4, 6, 3) of Bottleneck -50.
        `strides`: of the stem, its pooling, and the second to the fourth stage."""
        super().__init__()
        stem, pool, *later = self.halvings(strides, 5)
        self.conv1 = nn.Conv2d(3, 64, 7, stem, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, pool, padding=1)
        in_channels = 64
        for number, (depth, first) in enumerate(zip(depths, ((1, 1), *later), strict=True), start=1):
            width = 64 * 2 ** (number - 1)
            blocks: list[nn.Module] = []
            for index in range(depth):
                blocks.append(block(in_channels, width, stride=(1, 1) if index else first))
                in_channels = width * block.expansion
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.channels = tuple(64 * 2**stage * block.expansion for stage in range(4))
        self.depths = depths
        init_convolutions(self)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the prefixes of each layer (Backbone): the stem, then the blocks."""
        stages = enumerate(self.depths, start=1)
        blocks = ((f"layer{number}.{index}.",) for number, depth in stages for index in range(depth))
        return (("conv1.", "bn1."), *blocks)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to four feature maps at strides 4, 8, 16, 32."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        features = []
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
            features.append(x)
        return tuple(features)
