"""CRNN: convolutions, a bidirectional LSTM over the columns, one character distribution per column.

Shi, Bai, Yao, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition", 2015
(https://arxiv.org/abs/1507.05717), with batch normalisation after every convolution (section 3.2 of the paper has it
after two) and strided convolutions in place of pooling. It is a light variant: fewer channels and hidden units, and no
linear layer between the LSTMs (docs/reference/models.md has both parameter counts); models/crnn/vgg.py has the
published network. No activation works in place: the CTC loss needs what an in-place one would overwrite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ocrctl.config.model_card import ModelCard
from ocrctl.models.crnn import vgg
from ocrctl.models.crnn.recurrent import run_lstm
from ocrctl.models.layers.columns import Columns, clear_columns, strided
from ocrctl.models.layers.ctc import CTCHead
from ocrctl.models.ocr_model import OCRModel


@dataclass(frozen=True)
class Stage:
    """One 3x3 convolution: output channels and its stride (down, right)."""

    channels: int
    stride: tuple[int, int]


@dataclass(frozen=True)
class CRNNSize:
    """One size of the architecture; the strides of four halvings take 32 rows to 2, those of two the columns to T."""

    stages: tuple[Stage, ...]
    features: int  # width of the columns handed to the LSTM
    hidden: int  # units of the LSTM, per direction
    layers: int


COLUMNS_PER_STEP = 4  # the strides of two halvings

SIZES = {
    "crnn-tiny": CRNNSize(
        (Stage(32, (2, 2)), Stage(64, (2, 2)), Stage(64, (1, 1)), Stage(128, (2, 1)), Stage(128, (2, 1))),
        features=128,
        hidden=96,
        layers=1,
    ),
    "crnn": CRNNSize(
        (Stage(48, (2, 2)), Stage(96, (2, 2)), Stage(96, (1, 1)), Stage(192, (2, 1)), Stage(192, (1, 1)),
         Stage(256, (2, 1))),
        features=256,
        hidden=192,
        layers=2,
    ),
}  # fmt: skip


def build(card: ModelCard, num_classes: int) -> OCRModel:
    """Build the CRNN that `card` describes, with random weights."""
    if card.arch not in SIZES:
        return vgg.build(card, num_classes)
    size, dropout = SIZES[card.arch], float(card.model.get("dropout", 0.0))
    return OCRModel(
        encoder=ConvEncoder(card.channels, size.stages, size.features),
        decoder=BiLSTMDecoder(size.features, size.hidden, size.layers, dropout),
        head=CTCHead(2 * size.hidden, num_classes),
        mean=card.mean,
        std=card.std,
        class_tensors=("head.linear.weight", "head.linear.bias"),
    )


class ConvEncoder(nn.Module):
    """3x3 convolutions, then one that spans the remaining height.

    The product of the strides is 16 down, so that the last convolution spans the 2 rows left of a 32 pixel image.
    With `columns`, padding is cleared after every block, so that an image has the features it has alone.
    """

    takes_columns = True

    def __init__(self, in_channels: int, stages: Sequence[Stage], out_channels: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = in_channels
        for stage in stages:
            blocks += conv_block(channels, stage.channels, kernel=(3, 3), stride=stage.stride, padding=(1, 1))
            channels = stage.channels
        blocks += conv_block(channels, out_channels, kernel=(2, 1), stride=(1, 1), padding=(0, 0))
        self.blocks = nn.Sequential(*blocks)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the parameter names of each convolution with its normalisation (OCRModel.layer_depth)."""
        first = [index for index, layer in enumerate(self.blocks) if isinstance(layer, nn.Conv2d)]
        return tuple((f"blocks.{index}.", f"blocks.{index + 1}.") for index in first)

    def forward(self, images: Tensor, columns: Columns | None = None) -> Tensor:
        """Map (N, C, 32, W) to (N, D, 1, T), T = W / 4."""
        if columns is None:
            features: Tensor = self.blocks(images)
            return features
        features, widths = images, columns.counted
        for part in self.blocks:
            features = part(features)
            if isinstance(part, nn.Conv2d):
                widths = strided(widths, int(part.stride[1]))
            elif isinstance(part, nn.ReLU):
                features = clear_columns(features, widths)
        return features


def conv_block(
    in_channels: int, out_channels: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> list[nn.Module]:
    """Return a convolution without bias, batch normalisation, and a ReLU that is not in place."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=False)]


class BiLSTMDecoder(nn.Module):
    """Bidirectional LSTM over the columns; ignores targets, as CTC does.

    With `columns`, the backward direction of each image begins at its own last column.
    """

    takes_columns = True

    def __init__(self, in_features: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(
            in_features, hidden, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, targets: Tensor | None = None, columns: Columns | None = None) -> Tensor:
        """Map (N, D, 1, T) to (N, T, 2 * hidden). `targets` is accepted and ignored."""
        sequence = features.squeeze(2).transpose(1, 2)  # (N, T, D)
        lengths = None if columns is None else strided(columns.counted, COLUMNS_PER_STEP)
        states: Tensor = self.dropout(run_lstm(self.lstm, sequence, lengths, self.training))  # (N, T, 2 * hidden)
        return states
