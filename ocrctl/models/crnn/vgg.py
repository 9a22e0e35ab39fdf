"""CRNN as it is published: a VGG network, two bidirectional LSTMs with a linear layer after each, CTC.

Shi, Bai, Yao, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition", 2015
(https://arxiv.org/abs/1507.05717), table 1, in the form of Baek et al., "What Is Wrong With Scene Text Recognition
Model Comparisons?", 2019 (https://arxiv.org/abs/1904.01906), None-VGG-BiLSTM-CTC, whose weights it takes. EasyOCR's
second generation has half the channels, 64 rows, and images with their aspect ratio, continued by their last column.

The last convolution is not padded: W columns give W / 4 - 1 steps. One blank step is added after them, so that a step
still stands for 4 columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.models.crnn.recurrent import run_lstm
from ocrctl.models.layers.columns import Columns, clear_columns, repeat_last_column, strided
from ocrctl.models.layers.ctc import CTCHead
from ocrctl.models.ocr_model import NEVER, OCRModel

COLUMNS_PER_STEP = 4
LOST_STEPS = 1  # by the last convolution


@dataclass(frozen=True)
class VGGSize:
    """One size of the architecture: channels after the last convolution, an eighth of them after the first one, and
    units of the LSTMs, per direction."""

    channels: int
    hidden: int


SIZES = {"crnn-vgg": VGGSize(512, 256), "crnn-vgg-small": VGGSize(256, 256)}


def build(card: ModelCard, num_classes: int) -> OCRModel:
    """Build the network that `card` describes, with random weights."""
    size, dropout = SIZES[card.arch], float(card.model.get("dropout", 0.0))
    return VGGCRNN(
        encoder=VGGEncoder(card.channels, size.channels),
        decoder=RecurrentDecoder(size.channels, size.hidden, dropout),
        head=CTCHead(size.hidden, num_classes),
        mean=card.mean,
        std=card.std,
        class_tensors=("head.linear.weight", "head.linear.bias"),
    )


class VGGCRNN(OCRModel):
    """The whole network; see OCRModel."""

    def forward(self, images: Tensor, targets: Tensor | None = None, widths: Tensor | None = None) -> dict[str, Tensor]:
        """See OCRModel.forward. Returns {"logits": (N, W / 4, K)}, of which the last step is blank."""
        outputs = super().forward(images, targets, widths)
        if widths is None:
            logits = F.pad(outputs["logits"], (0, 0, 0, LOST_STEPS), value=NEVER)  # (N, W / 4, K)
            blank = F.pad(outputs["logits"][:, :, :1], (0, 0, 0, LOST_STEPS))
            outputs["logits"] = torch.cat([blank, logits[:, :, 1:]], dim=2)
        return outputs


class VGGEncoder(nn.Module):
    """Seven convolutions, the fifth and sixth normalised, with pooling: the columns of an image, mean of its rows.

    With `columns`, an image is continued by its last column up to its counted width, and its features are those that
    it has alone.
    """

    takes_columns = True

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        first, second, third = channels // 8, channels // 4, channels // 2
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, first, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(third, third, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d((2, 1), (2, 1)),
            nn.Conv2d(third, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d((2, 1), (2, 1)),
            nn.Conv2d(channels, channels, 2),
            nn.ReLU(),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Parameter names of each convolution with its normalisation (OCRModel.layer_depth)."""
        first = [index for index, layer in enumerate(self.layers) if isinstance(layer, nn.Conv2d)]
        return tuple((f"layers.{index}.", f"layers.{index + 1}.") for index in first)

    def forward(self, images: Tensor, columns: Columns | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, D, T): T = W / 4 - 1 without `columns`, else W / 4, of which the last step has no
        meaning."""
        if columns is None:
            whole: Tensor = self.layers(images).mean(2)
            return whole
        widths = columns.counted
        features = clear_columns(repeat_last_column(images, columns.image), widths)
        *layers, last, relu = self.layers
        for layer in layers:
            features = layer(features)
            if isinstance(layer, nn.MaxPool2d):
                stride = layer.stride
                widths = strided(widths, stride[1] if isinstance(stride, tuple) else int(stride))
            elif isinstance(layer, nn.ReLU):
                features = clear_columns(features, widths)
        rows: Tensor = relu(last(F.pad(features, (0, LOST_STEPS))))
        return rows.mean(2)


class RecurrentDecoder(nn.Module):
    """Two bidirectional LSTMs, each followed by a linear layer to half its features; ignores targets, as CTC does."""

    takes_columns = True

    def __init__(self, in_features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstms = nn.ModuleList(
            [nn.LSTM(size, hidden, batch_first=True, bidirectional=True) for size in (in_features, hidden)]
        )
        self.linears = nn.ModuleList([nn.Linear(2 * hidden, hidden) for _ in self.lstms])
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, targets: Tensor | None = None, columns: Columns | None = None) -> Tensor:
        """Map (N, D, T) to (N, T, hidden). `targets` is accepted and ignored."""
        sequence = features.transpose(1, 2)  # (N, T, D)
        lengths = None
        if columns is not None:
            lengths = (strided(columns.counted, COLUMNS_PER_STEP) - LOST_STEPS).clamp(min=1)
        for lstm, linear in zip(self.lstms, self.linears, strict=True):
            assert isinstance(lstm, nn.LSTM)
            sequence = linear(run_lstm(lstm, sequence, lengths, self.training))
        dropped: Tensor = self.dropout(sequence)
        return dropped
