"""Give the tensors of a published recogniser of PP-OCRv6 the names of this package, without torch.

The tensors of such a file have no names that say what they are, but come in the order in which they are used, which is
that of the model's parameters. Classes are the CTC blank, the characters in the metadata `character` (one a line), and
the space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError
from ocrctl.models.weight_file import Tensors, WeightFile

FIRST = "encoder.stem.halve.weight"
CLASSES = ("head.linear.weight", "head.linear.bias")
EPSILON = 1e-5  # of the batch normalisations in the file
Shape = tuple[int, ...]
Array = NDArray[np.generic]


def named(file: WeightFile, parameters: Mapping[str, Shape]) -> tuple[Tensors, str] | None:
    """Return the tensors of `file` by the names of `parameters`, whose shapes are in the order of use, and the charset;
    None when they are not those of the file. The number of classes may be another.

    Channels are turned from BGR to RGB and batch normalisation is folded into the convolution before it. A character
    that is not NFC becomes its NFC form, or is left out with its class where the charset has that form too. Raises
    InputError when the number of characters is not that of the classes, or the file names none.
    """
    given = list(_folded(file.tensors))
    classes = given[-1].size if given else 0
    wanted = {name: (classes, *shape[1:]) if name in CLASSES else tuple(shape) for name, shape in parameters.items()}
    if [values.shape for values in given] != list(wanted.values()):
        return None
    tensors: Tensors = dict(zip(wanted, given, strict=True))
    tensors[FIRST] = np.ascontiguousarray(tensors[FIRST][:, ::-1])
    charset, rows = _charset(file, classes)
    tensors.update({name: np.ascontiguousarray(tensors[name][rows]) for name in CLASSES})
    return tensors, charset


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
