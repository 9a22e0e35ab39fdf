"""Backbones by their names in settings and model cards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ocrctl.config.feature_grid import Strides
from ocrctl.config.model_card import ModelCard
from ocrctl.models.backbones.backbone import Backbone
from ocrctl.models.backbones.efficientnet import EfficientNetLite0
from ocrctl.models.backbones.mobilenet import MobileNetV3
from ocrctl.models.backbones.resnet import BasicBlock, Bottleneck, ResNet
from ocrctl.models.backbones.vgg import VGG16BN
from ocrctl.models.card import feature_spec

BACKBONES: dict[str, Callable[..., Backbone]] = {
    "efficientnet-lite0": EfficientNetLite0,
    "mobilenetv3": MobileNetV3,
    "resnet18": lambda strides=None: ResNet(BasicBlock, (2, 2, 2, 2), strides),
    "resnet50": lambda strides=None: ResNet(Bottleneck, (3, 4, 6, 3), strides),
    "vgg16bn": VGG16BN,
}
"""functions of the strides of a recogniser's features, without them for a detector"""
LIGHT = ("efficientnet-lite0", "mobilenetv3")


def build_backbone(card: ModelCard) -> Backbone:
    """Build the backbone that the card names, with random weights; of a recogniser with its strides."""
    if card.task == "detection":
        return BACKBONES[card.model["backbone"]]()
    spec = feature_spec(card)
    strides: Strides = spec.strides
    return BACKBONES[spec.backbones[0]](strides)


def weight_class(card: ModelCard) -> Literal["light", "full"]:
    """Return "light" for mobile backbones, where a neck of full width would cost several times the backbone."""
    return "light" if card.model["backbone"] in LIGHT else "full"
