"""Recognise the published detectors of PP-OCRv6: the ONNX files of PaddleOCR and rapidocr.

Their tensors have no names that say what they are, but come in the order in which they are used: the weights of a
convolution, then its bias as (1, C, 1, 1), with the levels of the neck from coarse to fine. So a file is recognised by
the shapes of its tensors. It has no threshold branch: that one starts as a copy of the probability branch whose last
layer is 0, a threshold of 0.5 everywhere.
"""

from __future__ import annotations

import re

import numpy as np
import torch

from ocrctl.config.detection_card import detection_card
from ocrctl.config.settings import ModelSettings
from ocrctl.models.ppocr.detector import SIZES, build
from ocrctl.models.registry import get_spec
from ocrctl.models.weight_file import Converted, Tensors, WeightFile

FIRST = "encoder.stem.halve.weight"
LAST = "head.probability.4."
COPIED, ADDED = "head.probability.", "head.threshold."

NECK = ("lateral", "smooth", "down", "aggregate", "refine")  # parts in the order of use
UPWARDS = ("down", "aggregate")  # used from the finest level on

Shape = tuple[int, ...]


def recognise(file: WeightFile) -> Converted | None:
    """Convert a published detector of PP-OCRv6 from BGR to RGB, None for any other file."""
    if file.kind != "onnx":
        return None
    given = [values for values in file.tensors.values() if values.ndim == 4]
    shapes = [values.shape for values in given]
    for arch in SIZES:
        wanted = in_file_order(arch)
        if shapes != [shape if len(shape) == 4 else (1, *shape, 1, 1) for shape in wanted.values()]:
            continue
        tensors: Tensors = {
            name: values.reshape(shape) for (name, shape), values in zip(wanted.items(), given, strict=True)
        }
        tensors[FIRST] = np.ascontiguousarray(tensors[FIRST][:, ::-1])
        for name in [name for name in tensors if name.startswith(COPIED)]:
            values = np.zeros_like(tensors[name]) if name.startswith(LAST) else tensors[name]
            tensors[name.replace(COPIED, ADDED)] = values
        return Converted(arch, tensors, f"published weights of {arch}")
    return None


def in_file_order(arch: str) -> dict[str, Shape]:
    """Return the shapes of the parameters of `arch` by name, in the order of a published file: without the threshold
    branch."""
    with torch.device("meta"):
        model = build(detection_card(get_spec(arch), ModelSettings()))
    named = {name: tuple(value.shape) for name, value in model.named_parameters() if not name.startswith(ADDED)}
    return {name: named[name] for name in sorted(named, key=_position)}  # sorted keeps the order within a part


def _position(name: str) -> tuple[int, int]:
    """Sort key: backbone, then the parts of the neck in the order of use, each from coarse to fine or from fine to
    coarse, then the head."""
    neck = re.match(r"decoder\.(\w+)\.(\d)", name)
    if neck is None:
        return (0, 0) if name.startswith("encoder") else (len(NECK) + 1, 0)
    part, level = neck[1], int(neck[2])
    return 1 + NECK.index(part), level if part in UPWARDS else -level
