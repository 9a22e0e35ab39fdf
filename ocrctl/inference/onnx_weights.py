"""Weights of an ONNX file that are not finite, found without importing onnx.

ONNX Runtime turns NaN into numbers on its way (its ReLU gives 0 for it), so that the outputs of a broken model may look
fine. The file is a protobuf message (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto); only the fields that lead
to tensors are followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError
from ocrctl.models.finite_arrays import not_finite

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # protobuf's wire types
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_ATTRIBUTE = 5
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH = 5, 6
TENSOR_TYPE, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW, TENSOR_DOUBLES = 2, 4, 8, 9, 10
DTYPES = {1: "<f4", 10: "<f2", 11: "<f8"}  # TensorProto.DataType: FLOAT, FLOAT16, DOUBLE


def refuse_not_finite(path: Path) -> None:
    """Raise InputError when a weight of the model at `path` is NaN or infinite, or a constant NaN (attention masks are
    infinite constants). Weights are the tensors named `model.`, as `ocrctl export` names them."""
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    try:
        for name, values in _tensors(content):
            if held := not_finite(values, infinite=name.startswith("model.")):
                raise InputError(
                    f"{path}: its weights {name} hold {held}.",
                    hint="export a checkpoint from before training broke them",
                )
    except (IndexError, ValueError) as error:
        raise InputError(f"{path}: not an ONNX file, or a damaged one ({error}).") from error


def _tensors(model: memoryview) -> Iterator[tuple[str, NDArray[np.floating]]]:
    """Name and values, flat, of every tensor of floating-point numbers in a ModelProto."""
    graphs = [value for field, value in _fields(model) if field == MODEL_GRAPH]
    while graphs:
        for field, value in _fields(graphs.pop()):
            if field == GRAPH_INITIALIZER:
                yield from _tensor(value)
            elif field == GRAPH_NODE:
                for attribute in (v for f, v in _fields(value) if f == NODE_ATTRIBUTE):
                    for inner, held in _fields(attribute):
                        if inner == ATTRIBUTE_TENSOR:
                            yield from _tensor(held)
                        elif inner == ATTRIBUTE_GRAPH:
                            graphs.append(held)


def _tensor(message: memoryview) -> Iterator[tuple[str, NDArray[np.floating]]]:
    kind, name, parts = 0, "", []
    for field, value in _fields(message):
        if field == TENSOR_TYPE:
            kind = int.from_bytes(value, "little")
        elif field == TENSOR_NAME:
            name = bytes(value).decode(errors="replace")
        elif field in (TENSOR_FLOATS, TENSOR_RAW, TENSOR_DOUBLES):
            parts.append(value)
    if kind in DTYPES:
        for part in parts:
            yield name, np.frombuffer(part, DTYPES[kind])


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of every field of a protobuf message; numbers as bytes, least first.

    Raises IndexError or ValueError for a message that is cut off or none.
    """
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        wire = key & 7
        if wire == VARINT:
            number, place = _varint(message, place)
            content = memoryview(number.to_bytes(10, "little"))
        else:
            if wire == BYTES:
                size, place = _varint(message, place)
            elif wire in (FIXED32, FIXED64):
                size = 4 if wire == FIXED32 else 8
            else:
                raise ValueError(f"wire type {wire} at byte {place}")
            if place + size > end:
                raise ValueError(f"a field of {size} bytes ends behind its message")
            content, place = message[place : place + size], place + size
        yield key >> 3, content


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise ValueError(f"a number of more than ten bytes at byte {place}")
