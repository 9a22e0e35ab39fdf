"""CRNN with self-attention over the columns in place of the LSTM: every column sees all others at once.

The convolutions are those of models/crnn/encoder.py (Shi, Bai, Yao, 2015, https://arxiv.org/abs/1507.05717); the
blocks are those of the Transformer encoder (Vaswani et al., "Attention Is All You Need", 2017,
https://arxiv.org/abs/1706.03762, sections 3.1 and 3.5), normalised before each branch (Xiong et al., 2020,
https://arxiv.org/abs/2002.04745). Positions are sinusoids, so that any width can be read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.models.card import feature_spec
from ocrctl.models.crnn.encoder import build_encoder
from ocrctl.models.layers.attention import Dropout, attend, attention_weights, join_heads, split_heads
from ocrctl.models.layers.columns import Columns, column_mask, strided
from ocrctl.models.layers.ctc import CTCHead
from ocrctl.models.layers.init import init_transformer
from ocrctl.models.ocr_model import OCRModel

PERIOD = 10_000.0  # columns: longest wavelength of the positions divided by 2 pi


@dataclass(frozen=True)
class AttentionSize:
    """One size: channels of each 3x3 convolution, width of the columns, attention heads, blocks, and hidden units of
    their networks."""

    channels: tuple[int, ...]
    width: int
    heads: int
    depth: int
    hidden: int


SIZES = {
    "attention-crnn-tiny": AttentionSize((32, 64, 64, 128, 128), width=128, heads=4, depth=2, hidden=256),
    "attention-crnn": AttentionSize((48, 96, 96, 192, 192, 256), width=256, heads=8, depth=3, hidden=768),
}


def build(card: ModelCard, num_classes: int) -> OCRModel:
    """Build the model that `card` describes, with random weights."""
    size, dropout = SIZES[card.arch], float(card.model.get("dropout", 0.0))
    return AttentionCRNN(
        encoder=build_encoder(card, size.channels, size.width),
        decoder=AttentionDecoder(size, dropout, feature_spec(card).stride_w),
        head=CTCHead(size.width, num_classes),
        mean=card.mean,
        std=card.std,
        class_tensors=("head.linear.weight", "head.linear.bias"),
    )


class AttentionCRNN(OCRModel):
    """An OCRModel whose self-attention can be drawn."""

    decoder: AttentionDecoder

    @torch.no_grad()
    def step_attention(self, images: Tensor, widths: Tensor | None = None) -> Tensor:
        """Return the weights of the columns for each step (OCRModel.step_attention), the mean of the heads of the last
        block: (N, T, 1, T)."""
        return self.decoder.weights(*self.encode_images(images, widths))[:, :, None]


class AttentionDecoder(nn.Module):
    """Positions, blocks of self-attention and a last normalisation; ignores targets, as CTC does.

    With `columns`, no column attends to the padding of its batch.
    """

    takes_columns = True

    def __init__(self, size: AttentionSize, dropout: float, columns_per_step: int) -> None:
        """columns_per_step: input pixels of a column."""
        super().__init__()
        self.columns_per_step = columns_per_step
        self.blocks = nn.ModuleList(Block(size.width, size.heads, size.hidden, dropout) for _ in range(size.depth))
        self.norm = nn.LayerNorm(size.width)
        self.dropout = Dropout(dropout)
        init_transformer(self, ("project", "narrow"), size.depth)

    def forward(self, features: Tensor, targets: Tensor | None = None, columns: Columns | None = None) -> Tensor:
        """Map (N, D, 1, T) to (N, T, D). `targets` is accepted and ignored."""
        states, mask = self._sequence(features, columns)
        for block in self.blocks:
            states = block(states, mask)
        out: Tensor = self.dropout(self.norm(states))
        return out

    def weights(self, features: Tensor, columns: Columns | None = None) -> Tensor:
        """Return the attention weights of the last block, the mean of its heads: (N, T, T), sums over the last are
        1."""
        states, mask = self._sequence(features, columns)
        *blocks, last = self.blocks
        for block in blocks:
            states = block(states, mask)
        assert isinstance(last, Block)
        return last.weights(states, mask).mean(1)

    def _sequence(self, features: Tensor, columns: Columns | None) -> tuple[Tensor, Tensor | None]:
        """Return the columns with their positions (N, T, D), and which are of an image, bool (N, 1, 1, T)."""
        states = features.squeeze(2).transpose(1, 2)  # (N, T, D)
        states = states + sinusoids(states)
        if columns is None:
            return states, None
        lengths = strided(columns.counted, self.columns_per_step)
        return states, column_mask(lengths, states.shape[1])[:, None, None]


def sinusoids(states: Tensor) -> Tensor:
    """Return the positions of the steps of (N, T, D): (T, D), sines in the first half, cosines in the second."""
    half = states.shape[2] // 2
    rates = torch.exp(torch.arange(half, device=states.device) * (-math.log(PERIOD) / half))
    angles = torch.arange(states.shape[1], device=states.device)[:, None] * rates  # (T, D / 2)
    return torch.cat([angles.sin(), angles.cos()], 1).to(states.dtype)


class Block(nn.Module):
    """Self-attention, then a two-layer GELU network, each behind a layer normalisation and with a residual."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map (N, T, D) to the same shape. mask: bool (N, 1, 1, T), False for padding, which nothing attends to."""
        states = states + self.dropout(self.project(join_heads(attend(*self._projected(states), mask))))
        hidden = F.gelu(self.widen(self.norm2(states)))
        out: Tensor = states + self.dropout(self.narrow(hidden))
        return out

    def weights(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the attention weights, float32 (N, heads, T, T); mask as in `forward`."""
        queries, keys, _ = self._projected(states)
        return attention_weights(queries, keys, mask)

    def _projected(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (N, heads, T, D / heads)."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(self.norm1(states)).chunk(3, 2))
        return q, k, v
