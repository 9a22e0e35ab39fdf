"""From a detector's raw outputs to outlines, whatever its kind: what validation, eval, predict and export share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.postprocess.craft import craft_boxes
from ocrctl.postprocess.db import db_boxes
from ocrctl.postprocess.detections import Detections
from ocrctl.postprocess.pan import pan_boxes

Maps = Mapping[str, NDArray[np.float32]]
# The maps that outlines are found on; DB's thresholds are of training alone.
NEEDED = {"db": ("probability",), "pan": ("text", "kernel", "embedding"), "craft": ("region", "affinity")}
STRIDES = {"db": 1, "pan": 4, "craft": 2}  # pixels of the input for each cell of the maps


def find(decoder: str, outputs: Maps, thresholds: Mapping[str, float], *, polygons: bool = False) -> Detections:
    """Outlines of one picture in pixels of the network's input.

    outputs: the maps of a model with this card's `decoder`, without the batch's axis, logits where the head gives
    logits; `thresholds` the card's. Raises ValueError when a map holds values that are not finite.
    """
    found = FINDERS[decoder](outputs, thresholds, polygons)
    stride = STRIDES[decoder]
    return found if stride == 1 else found.scaled(stride, stride)


def _db(outputs: Maps, thresholds: Mapping[str, Any], polygons: bool) -> Detections:
    return db_boxes(_sigmoid(outputs["probability"]), polygons=polygons, **thresholds)


def _pan(outputs: Maps, thresholds: Mapping[str, Any], polygons: bool) -> Detections:
    text, kernel = _sigmoid(outputs["text"]), _sigmoid(outputs["kernel"])
    return pan_boxes(text, kernel, outputs["embedding"], polygons=polygons, **thresholds)


def _craft(outputs: Maps, thresholds: Mapping[str, Any], polygons: bool) -> Detections:
    return craft_boxes(outputs["region"], outputs["affinity"], polygons=polygons, **thresholds)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float32))), np.float32)  # no overflow at either end


def _options(function: Callable[..., Detections]) -> dict[str, type]:
    named = signature(function).parameters.values()
    return {one.name: type(one.default) for one in named if one.kind is one.KEYWORD_ONLY and one.name != "polygons"}


# What a card's thresholds may name, and of which type.
OPTIONS = {"db": _options(db_boxes), "pan": _options(pan_boxes), "craft": _options(craft_boxes)}
FINDERS: dict[str, Callable[[Maps, Mapping[str, Any], bool], Detections]] = {"db": _db, "pan": _pan, "craft": _craft}
