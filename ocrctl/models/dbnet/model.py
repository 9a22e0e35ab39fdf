"""DBNet and DBNet++: a feature pyramid, and a head that predicts the probability of text and its threshold.

Liao et al., 2019 (https://arxiv.org/abs/1911.08947), section 3. The step function that joins both maps is part of the
loss (models/dbnet/loss.py): a trained model reads boxes off the probability alone.
"""

from __future__ import annotations

from torch import Tensor, nn

from ocrctl.config.model_card import ModelCard
from ocrctl.models.backbones.build import build_backbone, weight_class
from ocrctl.models.dbnet.fpn import FPN, Concatenate
from ocrctl.models.dbnet.scale_fusion import AdaptiveScaleFusion
from ocrctl.models.layers.init import init_convolutions
from ocrctl.models.ocr_model import OCRModel

# Channels of the neck: 256 in the paper, over ResNets. Over a light backbone that would cost several times what the
# backbone does; it gets what PP-OCR's mobile detector has.
WIDTHS = {"light": 96, "full": 256}


def build(card: ModelCard, num_classes: int = 0) -> OCRModel:
    """Build the DBNet, or DBNet++ with adaptive scale fusion, that `card` describes, with random weights."""
    width = WIDTHS[weight_class(card)]
    join: nn.Module = AdaptiveScaleFusion(width) if card.arch == "dbnetpp" else Concatenate()
    backbone = build_backbone(card)
    return OCRModel(backbone, FPN(backbone.channels, width, join), DBHead(width), mean=card.mean, std=card.std)


class DBHead(nn.Module):
    """Two equal branches, from stride 4 to the image's own resolution."""

    def __init__(self, width: int) -> None:
        """`width`: channels of the feature; a quarter of it inside."""
        super().__init__()
        self.probability = branch(width, width // 4)
        self.threshold = branch(width, width // 4)

    def forward(self, feature: Tensor) -> dict[str, Tensor]:
        """Map (N, width, h, w) to {"probability": logits (N, 4 h, 4 w), "threshold": float32 in 0..1 (N, 4 h, 4 w)}."""
        probability = self.probability(feature).squeeze(1)
        threshold = self.threshold(feature).squeeze(1)
        return {"probability": probability, "threshold": threshold.float().sigmoid()}


def branch(width: int, inside: int) -> nn.Sequential:
    """Return a 3x3 convolution and two transposed ones that double the sides, to one channel."""
    layers = nn.Sequential(
        nn.Conv2d(width, inside, 3, padding=1, bias=False),
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.ConvTranspose2d(inside, inside, 2, 2),
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.ConvTranspose2d(inside, 1, 2, 2),
    )
    init_convolutions(layers)
    return layers
