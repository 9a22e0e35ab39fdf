"""PP-LCNetV4: the blocks that the recogniser and the detector of PP-OCRv6 share.

PaddleOCR 3 (https://github.com/PaddlePaddle/PaddleOCR, Apache-2.0), in the form of its released inference models: the
branches of each depthwise convolution are summed into one kernel and batch normalisation is folded into the
convolutions, so no layer here normalises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.layers.columns import column_mask
from ocrctl.models.layers.constant_column import put_outside, with_last_column
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.ppocr.repvgg import RepVGGConv, unfold

Stride = int | tuple[int, int]


@dataclass(frozen=True)
class Stage:
    """One stage: output channels, stride (down, right) of its first block, and which of its blocks have
    squeeze-and-excitation.

    downsample: whether a block without a residual, which sets channels and stride, comes first; the other blocks are as
    many as `excite` has entries.
    """

    channels: int
    excite: tuple[bool, ...]
    stride: Stride = 1
    downsample: bool = True


class Stem(nn.Module):
    """Four times smaller in both directions: a convolution, two branches at half size, and two convolutions."""

    def __init__(self, in_channels: int, middle: int, out_channels: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(in_channels, middle, 3, stride=2, padding=1)
        self.branch1 = nn.Conv2d(middle, middle // 2, 2)
        self.branch2 = nn.Conv2d(middle // 2, middle, 2)
        self.join = nn.Conv2d(2 * middle, middle, 3, stride=2, padding=1)
        self.expand = nn.Conv2d(middle, out_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, H / 4, W / 4). Kernels of 2 are padded by one row below and one column to the
        right; a zero there is no maximum, for ReLU came before."""
        half = self.halve(images).relu()  # (N, middle, H / 2, W / 2)
        convolved = self.branch1(F.pad(half, (0, 1, 0, 1))).relu()
        convolved = self.branch2(F.pad(convolved, (0, 1, 0, 1))).relu()
        pooled = F.max_pool2d(F.pad(half, (0, 1, 0, 1)), 2, stride=1)
        # The convolution of both joined, without the copy that joining them costs at this size.
        first, second = self.join.weight.chunk(2, 1)
        joined = F.conv2d(pooled, first, self.join.bias, 2, 1) + F.conv2d(convolved, second, None, 2, 1)
        joined = joined.relu()  # (N, middle, H / 4, W / 4)
        return self.expand(joined).relu()


class PlainStem(nn.Module):
    """Four times smaller in both directions: two convolutions, GELU between them. The stem of the tiny recogniser."""

    def __init__(self, in_channels: int, middle: int, out_channels: int) -> None:
        super().__init__()
        self.halve = nn.Conv2d(in_channels, middle, 3, stride=2, padding=1)
        self.expand = nn.Conv2d(middle, out_channels, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out, H / 4, W / 4)."""
        out: Tensor = self.expand(F.gelu(self.halve(images)))
        return out


class Padding(NamedTuple):
    """Columns of feature maps (N, C, H, W + 1) whose last column stands for all padding of an image.

    Padding is the same in every column from some distance on, so one column, the constant column, stands for as many
    as the network is to see (Columns.counted and KeptAspect.weighted_to). inside: bool (N, 1, 1, W + 1), the columns of
    each image with its margin; the others hold the constant column. shares: float (N, W + 1), the share of each column
    in a mean over all columns.
    """

    inside: Tensor
    shares: Tensor

    @classmethod
    def of(cls, counted: Tensor, width: int, virtual: Tensor) -> Padding:
        """Create the padding for images with `counted` (N,) columns of features `width` columns wide, and `virtual`
        (N,) columns that are not there and for which the constant column stands."""
        inside = column_mask(counted.clamp(max=width), width + 1)  # (N, W + 1)
        last = torch.arange(width + 1, device=counted.device) == width
        weights = inside.float() + last * virtual[:, None]
        return cls(inside[:, None, None], weights / weights.sum(1, keepdim=True))


def constant_output(conv: nn.Conv2d | RepVGGConv, column: Tensor) -> Tensor:
    """Compute the output (N, D, H', 1) of the depthwise convolution `conv` where all columns are like `column` (N, D,
    H, 1)."""
    kernel = conv.weight.sum(3, keepdim=True)
    return F.conv2d(column, kernel, conv.bias, (conv.stride[0], 1), (int(conv.padding[0]), 0), groups=conv.groups)


class SqueezeExcite(nn.Module):
    """A gain for each channel from the mean of the image (Hu et al., 2017, https://arxiv.org/abs/1709.01507).

    slope: of the hard sigmoid `clamp(slope * x + 0.5, 0, 1)`: 1/6 in the backbone, 0.2 in the detector's neck.
    residual: add the features themselves, that is 1 to the gain.
    """

    def __init__(self, channels: int, *, reduction: int = 4, slope: float = 1 / 6, residual: bool = False) -> None:
        super().__init__()
        self.slope = slope
        self.low = 1 if residual else 0
        self.reduce = nn.Conv2d(channels, channels // reduction, 1)
        self.expand = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, features: Tensor, padding: Padding | None = None) -> Tensor:
        """Map (N, C, H, W) to features times gain, same shape."""
        if padding is None:
            mean = features.mean((2, 3), keepdim=True)
        else:
            mean = torch.matmul(features.mean(2), padding.shares[:, :, None].to(features.dtype))[..., None]
        hidden = self.reduce(mean).relu()  # (N, C / reduction, 1, 1)
        gain = (self.expand(hidden) * self.slope + (self.low + 0.5)).clamp(self.low, self.low + 1)
        return features * gain


class Block(nn.Module):
    """Depthwise 3x3, optional squeeze-and-excitation, then a two-layer GELU network on each pixel, residual where
    the shape stays."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: Stride, excite: bool, *, unfold: bool = False
    ) -> None:
        """`unfold`: train the depthwise convolution as the branches of RepVGG."""
        super().__init__()
        self.residual = in_channels == out_channels and stride in (1, (1, 1))
        self.depthwise: nn.Conv2d | RepVGGConv
        if unfold:
            self.depthwise = RepVGGConv(in_channels, stride)
        else:
            self.depthwise = nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels)
        self.excite = SqueezeExcite(in_channels) if excite else None
        self.widen = nn.Conv2d(in_channels, 2 * in_channels, 1)
        self.narrow = nn.Conv2d(2 * in_channels, out_channels, 1)

    def forward(self, features: Tensor, padding: Padding | None = None) -> Tensor:
        """Map (N, in, H, W) to (N, out, H / stride, W / stride). With `padding` columns keep their number."""
        if padding is None:
            mixed: Tensor = self.depthwise(features)
        else:
            features, constant = with_last_column(features)
            mixed = put_outside(padding.inside, self.depthwise(features), constant_output(self.depthwise, constant))
        if self.excite is not None:
            mixed = self.excite(mixed, padding)
        narrowed: Tensor = self.narrow(F.gelu(self.widen(mixed)))
        return mixed + narrowed if self.residual else narrowed


class Blocks(nn.ModuleList):
    """The blocks of one stage, run in order."""

    def forward(self, features: Tensor, padding: Padding | None = None) -> Tensor:
        """Map (N, in, H, W) to (N, out, H / stride, W / stride)."""
        for block in self:
            features = block(features, padding)
        return features


class PPOCRModel(OCRModel):
    """A model whose depthwise convolutions may be trained as the branches of RepVGG."""

    def adapt_weights(self, weights: dict[str, Tensor]) -> None:
        """Unfold the kernels of `weights` that this model has branches for, in place."""
        unfold(self, weights)


def build_stages(in_channels: int, stages: Sequence[Stage], *, unfold: bool = False) -> nn.ModuleList:
    """Build one `Blocks` for each of `stages`, the first for features of `in_channels`; `unfold` as in Block."""
    built = nn.ModuleList()
    channels = in_channels
    for stage in stages:
        blocks = [Block(channels, stage.channels, stage.stride, False, unfold=unfold)] if stage.downsample else []
        blocks += [Block(stage.channels, stage.channels, 1, excite, unfold=unfold) for excite in stage.excite]
        built.append(Blocks(blocks))
        channels = stage.channels
    return built


def stage_prefixes(stages: nn.ModuleList) -> tuple[tuple[str, ...], ...]:
    """Return the prefixes of the parameter names of a backbone with `stem` and `stages`: the stem, then each block."""
    blocks = ((stage, block) for stage, held in enumerate(stages) for block in range(len(held)))  # type: ignore[arg-type]
    return (("stem.",), *((f"stages.{stage}.{block}.",) for stage, block in blocks))


def own_kernel(layer: nn.Conv2d | RepVGGConv) -> Tensor:
    """Return the parameter that holds the kernel of `layer`, that of the 3x3 branch where it has branches."""
    return layer.kernel if isinstance(layer, RepVGGConv) else layer.weight


def init_blocks(module: nn.Module) -> None:
    """Initialise convolutions for training from scratch: each depthwise kernel starts as the identity plus noise, each
    residual branch near zero, so that features keep their scale without normalisation."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | RepVGGConv):
            nn.init.kaiming_normal_(own_kernel(layer), mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for block in (part for part in module.modules() if isinstance(part, Block)):
        with torch.no_grad():
            own_kernel(block.depthwise).mul_(0.1)[:, :, 1, 1] += 1
            if block.residual:
                block.narrow.weight.mul_(0.1)
