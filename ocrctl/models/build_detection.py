"""The builder of detectors: every size in numbers."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ocrctl.config.model_card import ModelCard
from ocrctl.models.backbones.backbone import Backbone
from ocrctl.models.backbones.efficientnet import EfficientNetLite0
from ocrctl.models.backbones.mobilenet import MobileNetV3
from ocrctl.models.backbones.resnet import BasicBlock, Bottleneck, ResNet
from ocrctl.models.backbones.vgg import VGG16BN
from ocrctl.models.detection.craft import CRAFTHead, UNet
from ocrctl.models.detection.db_head import DBHead
from ocrctl.models.detection.fpn import FPN, Concatenate
from ocrctl.models.detection.pan import LEVELS, PANHead, PANNeck
from ocrctl.models.detection.scale_fusion import AdaptiveScaleFusion
from ocrctl.models.ocr_model import OCRModel

BACKBONES: dict[str, Callable[[], Backbone]] = {
    "efficientnet-lite0": EfficientNetLite0,
    "mobilenetv3": MobileNetV3,
    "resnet18": lambda: ResNet(BasicBlock, (2, 2, 2, 2)),
    "resnet50": lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
    "vgg16bn": VGG16BN,
}

# Channels of the neck. The papers have 256 (DBNet) and 128 for each level (PAN) over ResNets. Over a light backbone
# such a neck would cost several times what the backbone does; DBNet's gets what PP-OCR's mobile detector has.
LIGHT = ("efficientnet-lite0", "mobilenetv3")
DB_WIDTH = {"light": 96, "full": 256}
PAN_WIDTH = {"light": 64, "full": 128}
PAN_REPEATS = 2  # FPEMs
CRAFT_WIDTHS = (256, 128, 64, 32)


def build_backbone(card: ModelCard) -> Backbone:
    """The backbone that the card names, with random weights."""
    return BACKBONES[card.model["backbone"]]()


def _weight_class(card: ModelCard) -> str:
    return "light" if card.model["backbone"] in LIGHT else "full"


def build_db(card: ModelCard) -> OCRModel:
    """DBNet, or DBNet++ with adaptive scale fusion."""
    width = DB_WIDTH[_weight_class(card)]
    join: nn.Module = AdaptiveScaleFusion(width) if card.arch == "dbnetpp" else Concatenate()
    backbone = build_backbone(card)
    return _model(card, backbone, FPN(backbone.channels, width, join), DBHead(width))


def build_pan(card: ModelCard) -> OCRModel:
    """PAN."""
    width = PAN_WIDTH[_weight_class(card)]
    backbone = build_backbone(card)
    return _model(card, backbone, PANNeck(backbone.channels, width, PAN_REPEATS), PANHead(LEVELS * width, width))


def build_craft(card: ModelCard) -> OCRModel:
    """CRAFT."""
    backbone = build_backbone(card)
    return _model(card, backbone, UNet(backbone.channels, CRAFT_WIDTHS), CRAFTHead(CRAFT_WIDTHS[-1]))


def _model(card: ModelCard, encoder: nn.Module, decoder: nn.Module, head: nn.Module) -> OCRModel:
    return OCRModel(encoder, decoder, head, mean=card.mean, std=card.std)


DETECTION_BUILDERS: dict[str, Callable[[ModelCard], OCRModel]] = {
    "db": build_db,
    "pan": build_pan,
    "craft": build_craft,
}
