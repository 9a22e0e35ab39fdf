"""Convert raw outputs of any detector to polygons, for validation, eval, predict and export.

numpy only: ONNX models use it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_spec import DetectorSpec
from ocrctl.errors import UsageError
from ocrctl.models.family import load_part
from ocrctl.models.outlines.detections import Detections
from ocrctl.models.registry import family_of, get_spec

Maps = Mapping[str, NDArray[np.float32]]


def detector_spec(arch: str) -> DetectorSpec:
    """Return how the maps of detector `arch` are decoded. Raises UsageError when it is unknown or no detector."""
    found = get_spec(arch).detector
    if found is None:
        raise UsageError(f"{arch} reads words, expected a detector.")
    return found


def find(arch: str, outputs: Maps, thresholds: Mapping[str, float], *, polygons: bool = False) -> Detections:
    """Find the polygons of one image, in pixels of the network's input.

    outputs: the maps of a model of this architecture, without the batch's axis, logits where the head gives logits;
    thresholds: those of its card. Raises ValueError when a map holds values that are not finite.
    """
    spec = detector_spec(arch)
    maps = [_sigmoid(outputs[name]) if how == "sigmoid" else outputs[name] for name, how in spec.maps.items()]
    found: Detections = load_part(family_of(arch).find_polygons)(*maps, polygons=polygons, **thresholds)
    return found if spec.map_stride == 1 else found.scaled(spec.map_stride, spec.map_stride)


def threshold_types(arch: str) -> dict[str, type]:
    """Return the thresholds that a card of this architecture may have, and their types."""
    return _keywords(load_part(family_of(arch).find_polygons))


@cache
def _keywords(function: Callable[..., Any]) -> dict[str, type]:
    named = signature(function).parameters.values()
    return {one.name: type(one.default) for one in named if one.kind is one.KEYWORD_ONLY and one.name != "polygons"}


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float32))), np.float32)  # no overflow at either end
