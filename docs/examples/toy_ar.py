"""A small autoregressive recogniser as a plug-in: a GRU that reads the mean of the image, one character at a time.

    ocrctl train toy-ar --plugin toy_ar.py -d words.lmdb -o runs/toy

It learns by cross entropy under teacher forcing (objective "cross-entropy").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.models.family import ModelFamily
from ocrctl.models.ocr_model import OCRModel

WIDTH = 48  # channels of the features and units of the GRU
COLUMNS = 12  # columns of features that the GRU sees at once


class Encoder(nn.Module):
    """Two strided convolutions and a pool to one row of COLUMNS cells."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AvgPool2d((8, 2)),
        )
        self.join = nn.Linear(WIDTH * COLUMNS, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, 32, 96) to (N, WIDTH), the first state of the GRU."""
        features: Tensor = self.layers(images)  # (N, WIDTH, 1, COLUMNS)
        return torch.tanh(self.join(features.flatten(1)))


class Decoder(nn.Module):
    """A GRU cell over the characters so far."""

    def __init__(self, classes: int) -> None:
        """`classes`: the charset and [EOS]; [BOS] and [PAD] follow and are never predicted."""
        super().__init__()
        self.embed = nn.Embedding(classes + 2, WIDTH)
        self.cell = nn.GRUCell(WIDTH, WIDTH)

    def forward(self, state: Tensor, targets: Tensor) -> Tensor:
        """First state (N, WIDTH) and tokens (N, L) to states (N, L, WIDTH), each after its token."""
        states = []
        for token in targets.unbind(1):
            state = self.cell(self.embed(token), state)
            states.append(state)
        return torch.stack(states, 1)


class Reader(OCRModel):
    """Teacher forcing with targets, greedy reading without."""

    def __init__(self, card: ModelCard, classes: int) -> None:
        head = nn.Linear(WIDTH, classes)
        super().__init__(
            Encoder(card.channels), Decoder(classes), head, mean=card.mean, std=card.std,
            class_tensors=("head.weight", "head.bias", "decoder.embed.weight"),
        )  # fmt: skip
        self.bos, self.steps = classes, card.max_label_length + 1

    def forward(self, images: Tensor, targets: Tensor | None = None) -> dict[str, Tensor]:
        """targets: int64 (N, L + 1), [BOS] characters [EOS] [PAD]. Returns {"logits": (N, L, classes)}."""
        if targets is None:
            return self.generate(images)
        states = self.decoder(self.encoder(self.normalise(images)), targets[:, :-1])
        return {"logits": self.head(states)}

    @torch.no_grad()
    def generate(
        self, images: Tensor, *, decoding: str | None = None, refine: int | None = None, max_length: int | None = None
    ) -> dict[str, Tensor]:
        """Greedy, character by character: {"logits": (N, T, classes)}; a text ends where class 0 is the best."""
        state = self.encoder(self.normalise(images))
        token = torch.full_like(images[:, 0, 0, 0], 0, dtype=torch.int64) + self.bos  # (N,)
        logits = []
        for _ in range(self.steps if max_length is None else max_length + 1):
            state = self.decoder(state, token[:, None])[:, 0]
            logits.append(self.head(state))
            token = logits[-1].argmax(-1)
        return {"logits": torch.stack(logits, 1)}


FAMILY = ModelFamily(
    name="toy-ar",
    specs=(
        ModelSpec(
            name="toy-ar", task="recognition", family="toy-ar",
            summary="A plug-in: a GRU over the characters so far, 32x96 grey, autoregressive",
            input_height=32, input_width=96, channels=1, stride_h=32, stride_w=96,
            tokenizer="ar", decodings=("ar",), options=(), max_label_length=12, default_charset="lower36", lr=3e-3,
        ),
    ),
    build=Reader,
    objective="cross-entropy",
)  # fmt: skip
