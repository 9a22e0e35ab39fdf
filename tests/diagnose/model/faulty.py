"""Small recognisers as plug-ins, each with one fault of real projects; `ctc` and `ar` have none."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.models.family import ModelFamily
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.objectives import CrossEntropyObjective, ctc_objective

WIDTH = 32
CTC = ("", "inplace", "frozen", "offsets", "coarse", "step", "blank", "constant", "batch", "nan", "export", "large")
AR = ("", "mask", "mixed", "empty", "future", "loop", "end", "eval")


class Encoder(nn.Module):
    """(N, 1, 32, 96) to (N, T, WIDTH), T = 8, or 1 of a coarse grid."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.layers = nn.Sequential(
            nn.Conv2d(1, WIDTH, 3, stride=2, padding=1), nn.ReLU(inplace=fault == "inplace"),
            nn.Conv2d(WIDTH, WIDTH, 3, stride=(2, 6), padding=1),
            nn.BatchNorm2d(WIDTH, momentum=0.0 if fault == "eval" else 0.5), nn.ReLU(),
        )  # fmt: skip
        if fault == "large":  # beyond the range of float16, until it is normalised
            assert isinstance(self.layers[2], nn.Conv2d)
            nn.init.normal_(self.layers[2].weight, std=1e6)
        self.join = nn.Linear(WIDTH * 8, WIDTH)
        if fault == "frozen":
            self.side = nn.Linear(WIDTH, WIDTH)
        if fault == "offsets":
            self.offset = nn.Conv2d(WIDTH, 2, 3, padding=1)
            nn.init.constant_(self.offset.bias, 5.0)

    def forward(self, images: Tensor) -> Tensor:
        """The features of each column, joined over the rows."""
        features: Tensor = self.layers(images)  # (N, WIDTH, 8, T)
        if self.fault == "inplace":
            features += 1.0
        if self.fault == "offsets":
            shift = self.offset(features).clamp(-1, 1).permute(0, 2, 3, 1)  # beyond its bounds a clamp has no gradient
            features = F.grid_sample(features, shift, align_corners=False) + features
        if self.fault == "coarse":
            features = F.avg_pool2d(features, (1, 8))
        states: Tensor = self.join(features.permute(0, 3, 1, 2).flatten(2))  # (N, T, WIDTH)
        if self.fault == "frozen":
            states = states + self.side(states.detach()).detach()
        if self.fault == "batch":
            states = states + states.mean(0, keepdim=True)
        if self.fault == "export" and torch.onnx.is_in_onnx_export():
            states = states * 1.01
        return states


class Columns(nn.Module):
    """The states of each column as they are, in the faulty model through a step function."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.gate = nn.Linear(WIDTH, WIDTH)

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Tensor:
        """(N, T, WIDTH), same shape."""
        return features + torch.relu(self.gate(features))


class Classes(nn.Module):
    """Logits (N, T, K)."""

    def __init__(self, fault: str, classes: int) -> None:
        super().__init__()
        self.fault = fault
        self.linear = nn.Linear(WIDTH, classes)

    def forward(self, states: Tensor) -> dict[str, Tensor]:
        """{"logits": (N, T, K)}"""
        if self.fault == "step":  # torch.sigmoid does not overflow
            states = states * (1 / (1 + torch.exp(-states)))
        if self.fault in ("blank", "constant"):
            states = states * 0.0
        logits = self.linear(states)
        if self.fault == "blank":
            logits = logits + 50.0 * torch.eye(logits.shape[-1])[0]
        return {"logits": logits}


class Reader(OCRModel):
    """A Transformer decoder over the columns; attention to the characters so far."""

    def __init__(self, card: ModelCard, classes: int, fault: str) -> None:
        super().__init__(
            Encoder(fault), nn.TransformerDecoderLayer(WIDTH, 4, 64, dropout=0.0, batch_first=True),
            nn.Linear(WIDTH, classes), mean=card.mean, std=card.std,
        )  # fmt: skip
        self.fault, self.bos, self.steps = fault, classes, card.max_label_length + 1
        if fault == "eval":
            self.encoder.layers[3].running_mean.fill_(300.0)
        self.embed = nn.Embedding(classes + 2, WIDTH)
        self.position = nn.Parameter(torch.randn(self.steps, WIDTH) * 0.1)

    def forward(self, images: Tensor, targets: Tensor | None = None) -> dict[str, Tensor]:
        """targets: int64 (N, L + 1). Returns {"logits": (N, L, K)}."""
        if targets is None:
            return self.generate(images)
        return {"logits": self.read(self.encoder(self.normalise(images)), targets[:, :-1])}

    def read(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Logits after each of tokens (N, L)."""
        length = tokens.shape[1]
        causal: Tensor | None = torch.ones(length, length, dtype=torch.bool).triu(1)
        padding: Tensor | None = (tokens == 0) | (tokens == self.bos + 1)
        if self.fault == "mask":  # 1 where padded, and added to the scores
            causal, padding = None, padding.float()
        if self.fault == "mixed":
            causal = torch.zeros(length, length).masked_fill(causal, -torch.inf)
        if self.fault == "empty":
            padding = torch.ones_like(padding)
        if self.fault == "future":
            causal = None
        states = self.embed(tokens) + self.position[:length]
        states = self.decoder(states, memory, tgt_mask=causal, tgt_key_padding_mask=padding)
        logits: Tensor = self.head(states)
        if self.fault == "end":
            logits = logits + 50.0 * torch.eye(logits.shape[-1])[0]
        return logits

    @torch.no_grad()
    def generate(
        self, images: Tensor, *, decoding: str | None = None, refine: int | None = None, max_length: int | None = None
    ) -> dict[str, Tensor]:
        """Greedy. The faulty loop begins with class 1 instead of [BOS]."""
        memory = self.encoder(self.normalise(images))
        first = 1 if self.fault == "loop" else self.bos
        tokens = torch.full_like(images[:, 0, 0, :1], 0, dtype=torch.int64) + first
        logits = []
        for _ in range(self.steps):
            logits.append(self.read(memory, tokens)[:, -1])
            best = logits[-1].argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, torch.where(best == 0, 1, best)], 1)
        return {"logits": torch.stack(logits, 1)}


def build(card: ModelCard, classes: int) -> OCRModel:
    """The model with the fault that its name ends with."""
    kind, _, fault = card.arch.partition("-")
    if kind == "ar":
        return Reader(card, classes, fault)
    return OCRModel(Encoder(fault), Columns(fault), Classes(fault, classes), mean=card.mean, std=card.std)


def objective(train: object) -> object:
    """The loss of a batch; the faulty one divides by the characters after the first."""
    cross = CrossEntropyObjective()

    def loss(model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
        if isinstance(model, Reader):
            return cross(model, batch)
        value = ctc_objective(model, batch)
        return value / (batch["lengths"].min() - 1) if model.encoder.fault == "nan" else value

    return loss


def spec(name: str, tokenizer: str) -> ModelSpec:
    """The facts of one architecture."""
    coarse = name.endswith("coarse")
    return ModelSpec(
        name=name.rstrip("-"), task="recognition", family="faulty", summary="A model with a fault",
        input_height=32, input_width=96, channels=1, stride_h=32, stride_w=96 if coarse else 12,
        tokenizer=tokenizer, decodings=("ar",) if tokenizer == "ar" else (), options=(), max_label_length=4,
        default_charset="ascii94", lr=1e-2,
    )  # fmt: skip


FAMILY = ModelFamily(
    name="faulty",
    specs=(*(spec(f"ctc-{fault}", "ctc") for fault in CTC), *(spec(f"ar-{fault}", "ar") for fault in AR)),
    build=build,
    objective=objective,
)
