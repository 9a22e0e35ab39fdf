"""Backbones by their names in settings and model cards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ocrctl.config.model_card import ModelCard
from ocrctl.models.backbones.backbone import Backbone
from ocrctl.models.backbones.efficientnet import EfficientNetLite0
from ocrctl.models.backbones.mobilenet import MobileNetV3
from ocrctl.models.backbones.resnet import BasicBlock, Bottleneck, ResNet
from ocrctl.models.backbones.vgg import VGG16BN

BACKBONES: dict[str, Callable[[], Backbone]] = {
    "efficientnet-lite0": EfficientNetLite0,
    "mobilenetv3": MobileNetV3,
    "resnet18": lambda: ResNet(BasicBlock, (2, 2, 2, 2)),
    "resnet50": lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
    "vgg16bn": VGG16BN,
}
LIGHT = ("efficientnet-lite0", "mobilenetv3")


def build_backbone(card: ModelCard) -> Backbone:
    """Build the backbone that the card names, with random weights."""
    return BACKBONES[card.model["backbone"]]()


def weight_class(card: ModelCard) -> Literal["light", "full"]:
    """Return "light" for mobile backbones, where a neck of full width would cost several times the backbone."""
    return "light" if card.model["backbone"] in LIGHT else "full"
