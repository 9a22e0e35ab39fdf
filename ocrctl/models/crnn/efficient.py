"""CRNN with depthwise-separable convolutions: a kernel for each channel, then a 1x1 convolution that mixes them.

Howard et al., "MobileNets", 2017 (https://arxiv.org/abs/1704.04861), section 3.1, in the place of the 3x3 convolutions
of CRNN (Shi, Bai, Yao, 2015, https://arxiv.org/abs/1507.05717). Blocks that keep their shape have a residual (Sandler
et al., "MobileNetV2", 2018, https://arxiv.org/abs/1801.04381, section 3.3). docs/research/crnn-family.md compares it
with crnn-tiny, and what happens without normalisation and residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from ocrctl.config.feature_grid import Stride, Strides, total_stride
from ocrctl.config.model_card import ModelCard
from ocrctl.models.crnn.encoder import build_encoder, conv_block
from ocrctl.models.crnn.model import CRNNSize, lstm_model
from ocrctl.models.layers.columns import Columns, clear_columns, strided
from ocrctl.models.layers.init import init_convolutions
from ocrctl.models.ocr_model import OCRModel


@dataclass(frozen=True)
class BlockOptions:
    """How a separable block is built.

    expansion: channels of its depthwise convolution, as a multiple of its input. residual: add the input where the
    shape stays. normalise: batch normalisation after each convolution; else biases. middle: an activation between the
    depthwise and the 1x1 convolution. last: one after the 1x1 convolution. scaled: initialise depthwise kernels for the
    one channel that each of them reads; else for all channels, which shrinks what passes them by the root of these.
    """

    expansion: int = 1
    residual: bool = True
    normalise: bool = True
    middle: bool = True
    last: bool = True
    scaled: bool = True


SIZES = {
    "efficient-crnn-tiny": CRNNSize((32, 64, 64, 128, 128), features=128, hidden=96, layers=1),
    "efficient-crnn": CRNNSize((48, 96, 96, 192, 192, 256), features=256, hidden=192, layers=2),
}
OPTIONS = BlockOptions()


def build(card: ModelCard, num_classes: int, options: BlockOptions = OPTIONS) -> OCRModel:
    """Build the model that `card` describes, with random weights."""
    size = SIZES[card.arch]
    encoder = build_encoder(card, size.channels, size.features, partial(SeparableEncoder, options=options))
    return lstm_model(card, encoder, size, num_classes)


class SeparableEncoder(nn.Module):
    """One 3x3 convolution, separable blocks, each with a stride (down, right), and one that spans the remaining height.

    With `columns`, padding is cleared before every depthwise convolution, so that an image has the features it has
    alone.
    """

    takes_columns = True

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        strides: Strides,
        out_channels: int,
        height: int,
        options: BlockOptions = OPTIONS,
    ) -> None:
        """channels, strides: of the first convolution and of each block. out_channels: of the last block. height: of
        the images, pixels."""
        super().__init__()
        self.stem = nn.Sequential(*conv_block(in_channels, channels[0], (3, 3), strides[0], (1, 1)))
        self.stem_stride = strides[0][1]
        blocks = [
            Separable(before, after, (3, 3), stride, options)
            for before, after, stride in zip(channels, channels[1:], strides[1:], strict=False)
        ]
        rows = height // total_stride(strides)[0]
        self.blocks = nn.ModuleList([*blocks, Separable(channels[-1], out_channels, (rows, 1), (1, 1), options)])
        init_convolutions(self)
        if options.scaled:
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d) and layer.groups > 1:
                    nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the parameter names of the stem and of each block (OCRModel.layer_depth)."""
        return (("stem.",), *((f"blocks.{index}.",) for index in range(len(self.blocks))))

    def forward(self, images: Tensor, columns: Columns | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, D, 1, T), T = W divided by the strides to the right."""
        features: Tensor = self.stem(images)
        widths = None if columns is None else strided(columns.counted, self.stem_stride)
        for block in self.blocks:
            assert isinstance(block, Separable)
            features = block(features, widths)
            widths = None if widths is None else strided(widths, block.stride[1])
        return features


class Separable(nn.Module):
    """A depthwise convolution and a 1x1 convolution, behind another 1x1 convolution where it expands."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: tuple[int, int], stride: Stride, options: BlockOptions
    ) -> None:
        super().__init__()
        self.stride = stride
        padding = (1, 1) if kernel == (3, 3) else (0, 0)
        self.residual = options.residual and stride == (1, 1) == padding and in_channels == out_channels
        inside = options.expansion * in_channels
        plain = not options.normalise

        def part(before: int, after: int, *, activate: bool, depthwise: bool = False) -> nn.Sequential:
            conv = (
                nn.Conv2d(before, after, kernel, stride, padding, groups=before, bias=plain)
                if depthwise
                else nn.Conv2d(before, after, 1, bias=plain)
            )
            return nn.Sequential(
                conv, nn.Identity() if plain else nn.BatchNorm2d(after), nn.ReLU() if activate else nn.Identity()
            )

        self.expand = part(in_channels, inside, activate=True) if options.expansion > 1 else nn.Identity()
        self.depthwise = part(inside, inside, activate=options.middle, depthwise=True)
        self.mix = part(inside, out_channels, activate=options.last)

    def forward(self, features: Tensor, widths: Tensor | None = None) -> Tensor:
        """Map (N, in, H, W) to (N, out, H / stride[0], W / stride[1]). widths: (N,), the columns of each image."""
        inside = self.expand(features)
        if widths is not None:
            inside = clear_columns(inside, widths)
        mixed: Tensor = self.mix(self.depthwise(inside))
        return mixed + features if self.residual else mixed
