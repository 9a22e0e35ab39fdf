"""Recognise the published recognisers of PP-OCRv6: the ONNX files of PaddleOCR and rapidocr.

A file is recognised by the shapes of its tensors (models.ppocr.published_order).
"""

from __future__ import annotations

import torch

from ocrctl.config.model_card import ModelCard
from ocrctl.models.ppocr.published_order import Shape, named
from ocrctl.models.ppocr.recogniser import SIZES, build
from ocrctl.models.registry import get_spec
from ocrctl.models.weight_file import Converted, WeightFile


def recognise(file: WeightFile) -> Converted | None:
    """Convert a published recogniser of PP-OCRv6 as `published_order.named` does, None for any other file. Raises as
    that does."""
    if file.kind != "onnx":
        return None
    for arch in SIZES:
        found = named(file, _parameters(arch))
        if found is not None:
            tensors, charset = found
            return Converted(arch, tensors, f"published weights of {arch}", charset)
    return None


def _parameters(arch: str) -> dict[str, Shape]:
    """Shapes of the parameters of `arch` by name, in the order of use, with one class."""
    spec = get_spec(arch)
    card = ModelCard(arch, "recognition", "", spec.input_height, spec.input_width, spec.channels, 1)
    with torch.device("meta"):
        model = build(card, 1)
    return {name: tuple(value.shape) for name, value in model.named_parameters()}
