"""Recognise the published recognisers of PP-OCRv6: the ONNX files of PaddleOCR and rapidocr.

Their tensors have no names that say what they are, but come in the order in which they are used, so a file is
recognised by the shapes of its tensors. Classes are the CTC blank, the characters in the metadata `character` (one a
line), and the space.
"""

from __future__ import annotations

from collections.abc import Iterator
from unicodedata import normalize

import numpy as np
import torch
from numpy.typing import NDArray

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import InputError
from ocrctl.models.ppocr.recogniser import SIZES, build
from ocrctl.models.registry import get_spec
from ocrctl.models.weight_file import Converted, Tensors, WeightFile

FIRST = "encoder.stem.halve.weight"
CLASSES = ("head.linear.weight", "head.linear.bias")
EPSILON = 1e-5  # of the batch normalisations in the file
Shape = tuple[int, ...]
Array = NDArray[np.generic]


def recognise(file: WeightFile) -> Converted | None:
    """Convert a published recogniser of PP-OCRv6 from BGR to RGB, None for any other file.

    Batch normalisation is folded into the convolution before it. A character that is not NFC becomes its NFC form, or
    is left out with its class where the charset has that form too. Raises InputError when the number of characters is
    not that of the classes, or the file names none.
    """
    if file.kind != "onnx":
        return None
    given = list(_folded(file.tensors))
    classes = given[-1].size if given else 0
    for arch in SIZES:
        wanted = _parameters(arch, classes)
        if [values.shape for values in given] != list(wanted.values()):
            continue
        tensors: Tensors = dict(zip(wanted, given, strict=True))
        tensors[FIRST] = np.ascontiguousarray(tensors[FIRST][:, ::-1])
        charset, rows = _charset(file, classes)
        tensors.update({name: np.ascontiguousarray(tensors[name][rows]) for name in CLASSES})
        return Converted(arch, tensors, f"published weights of {arch}", charset)
    return None


def _parameters(arch: str, classes: int) -> dict[str, Shape]:
    """Shapes of the parameters of `arch` by name, in the order of use."""
    spec = get_spec(arch)
    card = ModelCard(arch, "recognition", "", spec.input_height, spec.input_width, spec.channels, 1)
    with torch.device("meta"):
        model = build(card, classes)
    return {name: tuple(value.shape) for name, value in model.named_parameters()}


def _folded(tensors: Tensors) -> Iterator[Array]:
    """Weights and biases in the order of the file: matrices as (out, in), vectors flat, batch normalisation as part of
    the convolution before it. Constants of the graph are left out."""
    found = [(name, values) for name, values in tensors.items() if values.dtype == np.float32 and values.size > 1]
    found = [(name, values) for name, values in found if not name.startswith("helper.constant")]
    position = 0
    while position < len(found):
        name, values = found[position]
        position += 1
        norm = [part for after, part in found[position : position + 4] if after.startswith("batch_norm")]
        if values.ndim == 4 and values.shape[1:] != (1, 1, 1) and len(norm) == 4 and norm[0].size == values.shape[0]:
            position += 4
            gamma, beta, mean, variance = (part.astype(np.float64) for part in norm)
            scale = gamma / np.sqrt(variance + EPSILON)
            yield (values.astype(np.float64) * scale[:, None, None, None]).astype(np.float32)
            yield (beta - mean * scale).astype(np.float32)
        elif values.ndim == 2 and name.startswith("linear"):
            yield values.T
        else:
            yield values.reshape(-1) if values.ndim == 4 and values.shape[0] == 1 else values


def _charset(file: WeightFile, classes: int) -> tuple[str, list[int]]:
    """The characters of the file in NFC, and the classes that stay: the blank and one for each of them."""
    held = file.metadata.get("character", "")
    if not held:
        raise InputError(
            f"{file.path}: names no characters (its metadata `character` is empty).",
            hint="use the ONNX file as rapidocr or PaddleX ships it",
        )
    characters = [*(line.removesuffix("\r") for line in held.removesuffix("\n").split("\n")), " "]
    if len(characters) != classes - 1:
        raise InputError(
            f"{file.path}: has {classes - 1} classes and the blank, but names {len(characters)} characters with the "
            "space.",
            hint="use the ONNX file as rapidocr or PaddleX ships it",
        )
    kept: dict[str, int] = {}
    own = set(characters)
    for number, character in enumerate(characters, 1):
        composed = normalize("NFC", character)
        if len(composed) == 1 and composed not in kept and (composed == character or composed not in own):
            kept[composed] = number
    return "".join(kept), [0, *kept.values()]
