"""The recogniser of PP-OCRv6: PP-LCNetV4, a light attention neck, CTC over columns of 8 pixels.

PaddleOCR 3 (https://github.com/PaddlePaddle/PaddleOCR, Apache-2.0); the neck follows Du et al., "SVTR: Scene Text
Recognition with a Single Visual Model", 2022 (https://arxiv.org/abs/2205.00159). Training here keeps the number of
columns of inference, W / 8; PaddleOCR pools to 40 columns while it trains.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.models.layers.attention import attend, join_heads, split_heads
from ocrctl.models.layers.columns import Columns, strided
from ocrctl.models.layers.constant_column import put_outside
from ocrctl.models.layers.ctc import CTCHead
from ocrctl.models.layers.init import init_transformer
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.ppocr.blocks import (
    Padding,
    PlainStem,
    PPOCRModel,
    Stage,
    Stem,
    build_stages,
    constant_output,
    init_blocks,
    stage_prefixes,
)

HEADS, DEPTH = 8, 2  # attention heads and blocks of the neck
REACH = 3  # columns that the depthwise convolution of the neck sees on each side
STEP = 8  # pixels of a column of the output


@dataclass(frozen=True)
class RecogniserSize:
    """One size of the architecture. stem: channels in the middle and at the end of it. neck: channels that the neck
    gives to the head; mlp: hidden channels of its attention blocks, 0 for a neck of convolutions and a plain stem."""

    stem: tuple[int, int]
    stages: tuple[Stage, ...]
    neck: int
    mlp: int


SIZES = {
    "ppocr-rec-tiny": RecogniserSize(
        stem=(24, 48),
        stages=(
            Stage(48, (True, False), downsample=False),
            Stage(96, (True, False), stride=(2, 1)),
            Stage(160, (True, False, False), stride=(2, 1)),
        ),
        neck=80,
        mlp=0,
    ),
    "ppocr-rec-small": RecogniserSize(
        stem=(48, 96),
        stages=(
            Stage(96, (True, False, False), downsample=False),
            Stage(192, (True, False, True, False, True, False), stride=(2, 1)),
            Stage(384, (True, False), stride=(2, 1)),
        ),
        neck=120,
        mlp=240,
    ),
    "ppocr-rec-medium": RecogniserSize(
        stem=(64, 128),
        stages=(
            Stage(128, (True,), downsample=False),
            Stage(256, (False, True)),
            Stage(512, (True, False, True, False, True, False), stride=(2, 1)),
            Stage(768, (True, False), stride=(2, 1)),
        ),
        neck=192,
        mlp=768,
    ),
}


def build(card: ModelCard, num_classes: int) -> OCRModel:
    """Build the recogniser that `card` describes, with random weights."""
    size = SIZES[card.arch]
    weighted_to = card.kept.weighted_to if card.kept else 0
    features = size.stages[-1].channels
    return PPOCRModel(
        encoder=RecogniserEncoder(card.channels, size, weighted_to, unfold=bool(card.model.get("unfold", False))),
        decoder=AttentionNeck(features, size.neck, size.mlp, weighted_to)
        if size.mlp
        else ConvolutionNeck(features, size.neck, weighted_to),
        head=CTCHead(size.neck, num_classes),
        mean=card.mean,
        std=card.std,
        class_tensors=("head.linear.weight", "head.linear.bias"),
    )


def padding_of(columns: Columns, weighted_to: int, stride: int, width: int) -> Padding:
    """Return the padding of features `width` columns wide, each of `stride` pixels. An image counts in whole steps of
    the output; the constant column stands for padding up to `weighted_to` pixels."""
    counted = strided(columns.counted, STEP) * STEP  # (N,) pixels
    virtual = (weighted_to - counted).clamp(min=0) / stride
    return Padding.of(counted // stride, width, virtual)


class RecogniserEncoder(nn.Module):
    """Stem and stages, then the mean of 3 rows and 2 columns: the 48 rows become 1, W columns W / 8.

    The network was trained on images padded to 320 columns, and reads worse where an image ends at the edge of the
    input and where squeeze-and-excitation sees no padding (docs/research/ppocr.md). With `columns` an image is computed
    with its margin only, and one further column stands for the padding up to `weighted_to` pixels.
    """

    takes_columns = True

    def __init__(self, in_channels: int, size: RecogniserSize, weighted_to: int = 0, *, unfold: bool = False) -> None:
        super().__init__()
        self.weighted_to = weighted_to
        self.stem = (Stem if size.mlp else PlainStem)(in_channels, *size.stem)
        self.stages = build_stages(size.stem[1], size.stages, unfold=unfold)
        init_blocks(self)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the parameter names of the stem and of each block (OCRModel.layer_depth)."""
        return stage_prefixes(self.stages)

    def forward(self, images: Tensor, columns: Columns | None = None) -> Tensor:
        """Map (N, C, 48, W) to (N, D, 1, T), T = W / 8. With `columns` to (N, D, 1, T + 1), where the columns from the
        end of each image on hold the features of its padding."""
        if columns is None:
            features = self.stem(images)  # (N, stem, 12, W / 4)
            for stage in self.stages:
                features = stage(features)
            return F.avg_pool2d(features, (3, 2))
        width = images.shape[3] // 4
        padding = padding_of(columns, self.weighted_to, 4, width)
        # One column more: of what lies behind an image, the stem sees less than its 4 pixels.
        features = self.stem(F.pad(images, (0, 4)))  # (N, stem, 12, W / 4 + 1)
        constant = self.stem(images.new_zeros(1, images.shape[1], images.shape[2], 12))[..., 1:2]  # clear of both edges
        features = put_outside(padding.inside, features, constant)
        for stage in self.stages:
            features = stage(features, padding)
        constant = features[..., -1:].mean(2, keepdim=True)  # (N, D, 1, 1)
        return torch.cat([F.avg_pool2d(features[..., :-1], (3, 2)), constant], 3)


class AttentionNeck(nn.Module):
    """Attention over the columns, beside a skip connection; ignores targets, as CTC does."""

    takes_columns = True

    def __init__(self, in_channels: int, width: int, mlp: int, weighted_to: int = 0) -> None:
        super().__init__()
        self.weighted_to = weighted_to
        self.skip = nn.Conv2d(in_channels, width, 1)
        self.reduce = nn.Conv2d(in_channels, width, 1)
        self.local = nn.Conv2d(width, width, (1, 2 * REACH + 1), padding=(0, REACH), groups=width)
        self.blocks = nn.ModuleList(AttentionBlock(width, mlp) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        init_transformer(self, ("project", "narrow"), DEPTH)

    def forward(self, features: Tensor, targets: Tensor | None = None, columns: Columns | None = None) -> Tensor:
        """Map (N, D, 1, T) to (N, T, width), with `columns` (N, D, 1, T + 1) to the same. `targets` is accepted and
        ignored."""
        skip = F.silu(self.skip(features))
        reduced = F.silu(self.reduce(features))
        if columns is None:
            local, log_weights = self.local(reduced), None
        else:
            padding = padding_of(columns, self.weighted_to, STEP, features.shape[3] - 1)
            local = convolve_steps(self.local, reduced, padding)
            log_weights = padding.shares.log()[:, None, None]  # (N, 1, 1, T + 1): -inf between image and constant
        states = (reduced + F.silu(local)).squeeze(2).transpose(1, 2)  # (N, T, width)
        for block in self.blocks:
            states = block(states, log_weights)
        out: Tensor = self.norm(states) + skip.squeeze(2).transpose(1, 2)
        return out if columns is None else out[:, :-1]


def convolve_steps(conv: nn.Conv2d, features: Tensor, padding: Padding) -> Tensor:
    """Run a depthwise convolution of 1 row on (N, D, 1, T + 1), whose last column stands for all padding."""
    constant = features[..., -1:]
    reach = int(conv.padding[1])
    out = conv(torch.cat([features, *(reach * [constant])], 3))[..., : features.shape[3]]
    return torch.where(padding.inside, out, constant_output(conv, constant))


class ConvolutionNeck(nn.Module):
    """Two convolutions over the columns and a linear layer, the neck of the tiny size; ignores targets, as CTC does."""

    takes_columns = True

    def __init__(self, in_channels: int, width: int, weighted_to: int = 0) -> None:
        super().__init__()
        self.weighted_to = weighted_to
        self.local = nn.Conv2d(in_channels, in_channels, (1, 5), padding=(0, 2), groups=in_channels)
        self.mix = nn.Conv2d(in_channels, in_channels, 1)
        self.reduce = nn.Linear(in_channels, width)

    def forward(self, features: Tensor, targets: Tensor | None = None, columns: Columns | None = None) -> Tensor:
        """Map (N, D, 1, T) to (N, T, width), with `columns` (N, D, 1, T + 1) to the same. `targets` is accepted and
        ignored."""
        if columns is None:
            local: Tensor = self.local(features)
        else:
            padding = padding_of(columns, self.weighted_to, STEP, features.shape[3] - 1)
            local = convolve_steps(self.local, features, padding)[..., :-1]
        mixed = F.hardswish(self.mix(F.hardswish(local)))
        states: Tensor = self.reduce(mixed.squeeze(2).transpose(1, 2))  # (N, T, width)
        return states


class AttentionBlock(nn.Module):
    """Self-attention, then a two-layer SiLU network, each behind a layer normalisation and with a residual."""

    def __init__(self, width: int, mlp: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-5)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-5)
        self.widen = nn.Linear(width, mlp)
        self.narrow = nn.Linear(mlp, width)

    def forward(self, states: Tensor, log_weights: Tensor | None = None) -> Tensor:
        """Map (N, T, width) to the same shape. log_weights: float (N, 1, 1, T), added to the scores of each column: a
        column of weight n attracts as n columns do."""
        queries, keys, values = (split_heads(part, HEADS) for part in self.qkv(self.norm1(states)).chunk(3, 2))
        states = states + self.project(join_heads(attend(queries, keys, values, log_weights)))
        out: Tensor = states + self.narrow(F.silu(self.widen(self.norm2(states))))
        return out
