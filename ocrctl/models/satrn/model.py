"""SATRN: self-attention text recognition network, for text of any shape.

Lee, Park, Baek, Oh, Kim, Lee, "On Recognizing Texts of Arbitrary Shapes with 2D Self-Attention", 2019
(https://arxiv.org/abs/1910.04396), with the layer normalisation before each part. The encoder is in encoder.py; the
decoder is a transformer that attends to every cell of the features (layers/text_decoder.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from ocrctl.config.model_card import ModelCard
from ocrctl.models.autoregressive import FeatureMapModel
from ocrctl.models.backbones.shallow import ShallowCNN, Stage
from ocrctl.models.layers.multi_head import FullCrossAttention
from ocrctl.models.layers.text_decoder import DecoderLayer, TextDecoder
from ocrctl.models.satrn.encoder import Encoder


@dataclass(frozen=True)
class SATRNSize:
    """One size of the architecture. hidden: features inside the feed-forward parts."""

    stages: tuple[Stage, ...]
    features: int
    heads: int
    hidden: int
    encoder_layers: int
    decoder_layers: int


SIZES = {
    "satrn-tiny": SATRNSize((Stage(32, (2, 2)), Stage(64, (2, 2)), Stage(128, (2, 1))), 128, 4, 256, 3, 2),
    "satrn": SATRNSize((Stage(256, (2, 2)), Stage(512, (2, 2))), 512, 8, 2048, 12, 6),
}


def build(card: ModelCard, num_classes: int) -> FeatureMapModel:
    """Build the SATRN that `card` describes, with random weights."""
    size, dropout = SIZES[card.arch], float(card.model.get("dropout", 0.0))
    dim, heads, hidden = size.features, size.heads, size.hidden
    layers = [
        DecoderLayer(dim, heads, hidden, dropout, FullCrossAttention(dim, heads, dropout))
        for _ in range(size.decoder_layers)
    ]
    return FeatureMapModel(
        Encoder(ShallowCNN(card.channels, size.stages), dim, heads, hidden, size.encoder_layers, dropout),
        TextDecoder(layers, dim, num_classes + 2, dropout),
        dim=dim,
        num_classes=num_classes,
        max_label_length=card.max_label_length,
        mean=card.mean,
        std=card.std,
    )
