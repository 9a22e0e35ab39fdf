"""Build the model card of a detector from its architecture and the settings `model.*`."""

from __future__ import annotations

from ocrctl.config.feature_grid import IMAGENET, NORMALISATION
from ocrctl.config.model_card import ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import ModelSettings
from ocrctl.errors import UsageError


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
    backbone = spec.choose_backbone(model.backbone)
    options = {"side": side} | ({"backbone": backbone} if backbone else {}) | ({"unfold": True} if model.unfold else {})
    found = NORMALISATION.get(backbone or "", IMAGENET)
    mean, std = spec.detector.mean or found[0], spec.detector.std or found[1]
    return ModelCard(
        arch=spec.name, task=spec.task, charset="", height=height, width=width, channels=spec.channels,
        max_label_length=0, mean=list(mean), std=list(std),
        model=options, preprocessing="page",
        thresholds=dict(spec.detector.thresholds), version=version, plugin=spec.plugin,
    )  # fmt: skip
