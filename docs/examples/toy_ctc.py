"""A small CTC recogniser as a plug-in: two convolutions and one linear layer for each column.

ocrctl train toy-ctc --plugin toy_ctc.py -d words.lmdb -o runs/toy
"""

from __future__ import annotations

from torch import Tensor, nn

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.models.family import ModelFamily
from ocrctl.models.ocr_model import OCRModel

WIDTH = 32  # channels of the features


class Encoder(nn.Module):
    """Two strided convolutions, then the mean over the rows that are left."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1),
            nn.ReLU(),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, 32, W) to (N, T, WIDTH), T = W / 4."""
        features: Tensor = self.layers(images)  # (N, WIDTH, 8, T)
        return features.mean(2).transpose(1, 2)


class Decoder(nn.Module):
    """Nothing: each column stands for itself."""

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Tensor:
        """(N, T, WIDTH), unchanged. CTC ignores `targets`."""
        return features


class Head(nn.Module):
    """One linear layer to the classes; class 0 is the CTC blank."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, classes)

    def forward(self, states: Tensor) -> dict[str, Tensor]:
        """(N, T, WIDTH) to {"logits": (N, T, classes)}."""
        return {"logits": self.linear(states)}


def build(card: ModelCard, classes: int) -> OCRModel:
    """The untrained model; `classes` is the charset and the blank."""
    return OCRModel(
        Encoder(card.channels), Decoder(), Head(classes), mean=card.mean, std=card.std,
        class_tensors=("head.linear.weight", "head.linear.bias"),
    )  # fmt: skip


FAMILY = ModelFamily(
    name="toy-ctc",
    specs=(
        ModelSpec(
            name="toy-ctc",
            task="recognition",
            family="toy-ctc",
            summary="A plug-in: two convolutions and a linear layer, 32x96 grey, CTC",
            input_height=32,
            input_width=96,
            channels=1,
            stride_h=32,
            stride_w=4,
            tokenizer="ctc",
            max_label_length=24,
            default_charset="lower36",
            lr=3e-3,
            options=(),
        ),
    ),
    build=build,
    objective="ctc",
)
