"""CRNN: convolutions, a bidirectional LSTM over the columns, one character distribution per column.

Shi, Bai, Yao, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition", 2015
(https://arxiv.org/abs/1507.05717), with batch normalisation after every convolution (section 3.2 of the paper has it
after two) and strided convolutions in place of pooling. It is a light variant: fewer channels and hidden units, and no
linear layer between the LSTMs (docs/reference/models.md has both parameter counts); models/crnn/vgg.py has the
published network, attention.py one with attention for the LSTM, efficient.py one with depthwise convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ocrctl.config.model_card import ModelCard
from ocrctl.models.card import feature_spec
from ocrctl.models.crnn import vgg
from ocrctl.models.crnn.encoder import build_encoder
from ocrctl.models.crnn.recurrent import run_lstm
from ocrctl.models.layers.columns import Columns, strided
from ocrctl.models.layers.ctc import CTCHead
from ocrctl.models.ocr_model import OCRModel


@dataclass(frozen=True)
class CRNNSize:
    """One size of the architecture: channels of each 3x3 convolution, width of the columns handed to the LSTM, its
    units per direction, and its layers."""

    channels: tuple[int, ...]
    features: int
    hidden: int
    layers: int


SIZES = {
    "crnn-tiny": CRNNSize((32, 64, 64, 128, 128), features=128, hidden=96, layers=1),
    "crnn": CRNNSize((48, 96, 96, 192, 192, 256), features=256, hidden=192, layers=2),
}


def build(card: ModelCard, num_classes: int) -> OCRModel:
    """Build the CRNN that `card` describes, with random weights."""
    if card.arch not in SIZES:
        return vgg.build(card, num_classes)
    size = SIZES[card.arch]
    return lstm_model(card, build_encoder(card, size.channels, size.features), size, num_classes)


def lstm_model(card: ModelCard, encoder: nn.Module, size: CRNNSize, num_classes: int) -> OCRModel:
    """Build a model with this encoder, an LSTM of `size`, and a CTC head."""
    dropout = float(card.model.get("dropout", 0.0))
    return OCRModel(
        encoder=encoder,
        decoder=BiLSTMDecoder(size.features, size.hidden, size.layers, dropout, feature_spec(card).stride_w),
        head=CTCHead(2 * size.hidden, num_classes),
        mean=card.mean,
        std=card.std,
        class_tensors=("head.linear.weight", "head.linear.bias"),
    )


class BiLSTMDecoder(nn.Module):
    """Bidirectional LSTM over the columns; ignores targets, as CTC does.

    With `columns`, the backward direction of each image begins at its own last column.
    """

    takes_columns = True

    def __init__(self, in_features: int, hidden: int, layers: int, dropout: float, columns_per_step: int) -> None:
        """columns_per_step: input pixels of a column."""
        super().__init__()
        self.columns_per_step = columns_per_step
        self.lstm = nn.LSTM(
            in_features, hidden, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor, targets: Tensor | None = None, columns: Columns | None = None) -> Tensor:
        """Map (N, D, 1, T) to (N, T, 2 * hidden). `targets` is accepted and ignored."""
        sequence = features.squeeze(2).transpose(1, 2)  # (N, T, D)
        lengths = None if columns is None else strided(columns.counted, self.columns_per_step)
        states: Tensor = self.dropout(run_lstm(self.lstm, sequence, lengths, self.training))  # (N, T, 2 * hidden)
        return states
