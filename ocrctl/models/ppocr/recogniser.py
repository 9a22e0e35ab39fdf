"""The recogniser of PP-OCRv6: PP-LCNetV4, a light attention neck, CTC over columns of 8 pixels.

PaddleOCR 3 (https://github.com/PaddlePaddle/PaddleOCR, Apache-2.0); the neck follows Du et al., "SVTR: Scene Text
Recognition with a Single Visual Model", 2022 (https://arxiv.org/abs/2205.00159). Training here keeps the number of
columns of inference, W / 8; PaddleOCR pools to 40 columns while it trains.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.models.layers.attention import attend, join_heads, split_heads
from ocrctl.models.layers.init import init_transformer
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.ppocr.blocks import Stage, Stem, build_stages, init_blocks, stage_prefixes

HEADS, DEPTH = 8, 2  # attention heads and blocks of the neck


@dataclass(frozen=True)
class RecogniserSize:
    """One size of the architecture. stem: channels in the middle and at the end of it. neck: channels of the attention
    neck; mlp: its hidden channels."""

    stem: tuple[int, int]
    stages: tuple[Stage, ...]
    neck: int
    mlp: int


SIZES = {
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
    return OCRModel(
        encoder=RecogniserEncoder(card.channels, size),
        decoder=AttentionNeck(size.stages[-1].channels, size.neck, size.mlp),
        head=CTCHead(size.neck, num_classes),
        mean=card.mean,
        std=card.std,
        class_tensors=("head.linear.weight", "head.linear.bias"),
    )


class RecogniserEncoder(nn.Module):
    """Stem and stages, then the mean of 3 rows and 2 columns: the 48 rows become 1, W columns W / 8."""

    def __init__(self, in_channels: int, size: RecogniserSize) -> None:
        super().__init__()
        self.stem = Stem(in_channels, *size.stem)
        self.stages = build_stages(size.stem[1], size.stages)
        init_blocks(self)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Parameter names of the stem and of each block (OCRModel.layer_depth)."""
        return stage_prefixes(self.stages)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, 48, W) to (N, D, 1, T), T = W / 8."""
        features = self.stem(images)  # (N, stem, 12, W / 4)
        for stage in self.stages:
            features = stage(features)
        return F.avg_pool2d(features, (3, 2))


class AttentionNeck(nn.Module):
    """Attention over the columns, beside a skip connection; ignores targets, as CTC does."""

    def __init__(self, in_channels: int, width: int, mlp: int) -> None:
        super().__init__()
        self.skip = nn.Conv2d(in_channels, width, 1)
        self.reduce = nn.Conv2d(in_channels, width, 1)
        self.local = nn.Conv2d(width, width, (1, 7), padding=(0, 3), groups=width)
        self.blocks = nn.ModuleList(AttentionBlock(width, mlp) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        init_transformer(self, ("project", "narrow"), DEPTH)

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Tensor:
        """(N, D, 1, T) to (N, T, width). `targets` is accepted and ignored."""
        skip = F.silu(self.skip(features))
        reduced = F.silu(self.reduce(features))
        local = reduced + F.silu(self.local(reduced))  # (N, width, 1, T)
        states = local.squeeze(2).transpose(1, 2)  # (N, T, width)
        for block in self.blocks:
            states = block(states)
        out: Tensor = self.norm(states) + skip.squeeze(2).transpose(1, 2)
        return out


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

    def forward(self, states: Tensor) -> Tensor:
        """(N, T, width), same shape."""
        queries, keys, values = (split_heads(part, HEADS) for part in self.qkv(self.norm1(states)).chunk(3, 2))
        states = states + self.project(join_heads(attend(queries, keys, values)))
        out: Tensor = states + self.narrow(F.silu(self.widen(self.norm2(states))))
        return out


class CTCHead(nn.Module):
    """One linear layer to K classes, class 0 the CTC blank."""

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, num_classes)

    def forward(self, states: Tensor) -> dict[str, Tensor]:
        """(N, T, width) to {"logits": (N, T, K)}."""
        return {"logits": self.linear(states)}
