"""The record of a model family: its architectures and its parts, which are imported when used. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ocrctl.config.model_spec import ModelSpec

Part = str | Callable[..., Any]
"""a function, or "MODULE:NAME" of one, which is imported when it is needed"""

GROUP = "ocrctl.models"
"""entry points of installed packages with a family, each named as its family"""

OBJECTIVES: dict[str, str | None] = {"ctc": "ctc", "cross-entropy": "ar", "maps": None}
"""the shared objectives, with the tokenizer that each requires (None: a detector)"""


@dataclass(frozen=True)
class ModelFamily:
    """The parts of a model family that other packages use.

    build: (ModelCard, number of classes, 0 for a detector) to an OCRModel with random weights.
    objective: the loss of a batch: "ctc", "cross-entropy" (teacher forcing), "maps" (`loss` over the maps of
    `targets`), or a function of TrainSettings that returns a training objective.
    published: a models.weight_file.WeightFile to a Converted, None when it holds no published weights of the family.
    published_order: (WeightFile, shapes of a model's parameters by name) to (tensors by these names, charset), None
    when the file does not hold them; without torch, for inference.published_graph.
    fold: (ModelCard, weights by name) to both for inference, of a model that trains with the setting model.unfold.
    Detectors have as well
    loss: (outputs, targets), both tensors by name, to a float32 scalar;
    targets: (PageWords, height, width of the input) to the maps of one image, numpy arrays by name;
    find_polygons: (*maps, polygons, **thresholds) to Detections in cells of the maps; its keyword arguments are the
    thresholds that a card may hold.
    plugin: set by the registry: description of the plug-in that defines the family, for messages.
    """

    name: str
    specs: tuple[ModelSpec, ...]
    build: Part
    objective: Part
    loss: Part | None = None
    targets: Part | None = None
    find_polygons: Part | None = None
    published: Part | None = None
    published_order: Part | None = None
    fold: Part | None = None
    plugin: str | None = None


def load_part(part: Part | None) -> Callable[..., Any]:
    """Load the function that `part` names. Raises ValueError when the family has none."""
    if part is None:
        raise ValueError("this model family lacks the requested part")
    if callable(part):
        return part
    module, _, name = part.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
