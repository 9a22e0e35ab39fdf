"""Read tensors and metadata of an ONNX file without importing onnx.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError
from ocrctl.files.protobuf import integers, messages, text
from ocrctl.files.regular import check_regular

MODEL_GRAPH, MODEL_OPSET, MODEL_METADATA = 7, 8, 14
OPSET_DOMAIN, OPSET_VERSION = 1, 2
ENTRY_KEY, ENTRY_VALUE = 1, 2
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_ATTRIBUTE = 5
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH = 5, 6
TENSOR_DIMS, TENSOR_TYPE, TENSOR_FLOATS, TENSOR_INT32, TENSOR_INT64, TENSOR_NAME = 1, 2, 4, 5, 7, 8
TENSOR_RAW, TENSOR_DOUBLES, TENSOR_EXTERNAL = 9, 10, 13
FLOAT, FLOAT16, DOUBLE = 1, 10, 11  # TensorProto.DataType
FLOATS = {FLOAT: "<f4", FLOAT16: "<f2", DOUBLE: "<f8"}
DTYPES = {**FLOATS, 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?"}


@dataclass(frozen=True)
class OnnxTensors:
    """Content of an ONNX file: initialisers by name in the order of the file, metadata_props, opset of the standard
    operators."""

    tensors: dict[str, NDArray[np.generic]]
    metadata: dict[str, str]
    opset: int


def read_onnx_tensors(path: Path) -> OnnxTensors:
    """Read the initialisers of the ONNX file at `path`. Tensors are views of its content and cannot be written to.

    Raises InputError when it cannot be read, is no ONNX file, is cut off, or keeps its weights in another file.
    """
    try:
        check_regular(path)
        model = memoryview(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error
    try:
        tensors = dict(
            _tensor(message, path)
            for graph in messages(model, MODEL_GRAPH)
            for message in messages(graph, GRAPH_INITIALIZER)
        )
        metadata = _metadata(model)
        opsets = [
            max(integers(entry, OPSET_VERSION), default=0)
            for entry in messages(model, MODEL_OPSET)
            if text(entry, OPSET_DOMAIN) in ("", "ai.onnx")
        ]
    except (IndexError, ValueError) as error:
        raise damaged_onnx(path, error) from error
    if not tensors:
        raise InputError(f"{path}: not an ONNX file with weights (it holds no initialisers).")
    return OnnxTensors(tensors, metadata, max(opsets, default=0))


def damaged_onnx(path: Path, reason: object) -> InputError:
    """Return the error for a file at `path` that is no ONNX file, or is cut off or damaged."""
    return InputError(f"{path}: not an ONNX file, or a damaged one ({reason}).", hint="download or copy it again")


def onnx_metadata(path: Path) -> dict[str, str]:
    """Read metadata_props of the ONNX file at `path`. Raises OSError when it cannot be read, IndexError or ValueError
    when it is no ONNX file."""
    return _metadata(memoryview(path.read_bytes()))


def _metadata(model: memoryview) -> dict[str, str]:
    return {text(entry, ENTRY_KEY): text(entry, ENTRY_VALUE) for entry in messages(model, MODEL_METADATA)}


def _tensor(message: memoryview, path: Path) -> tuple[str, NDArray[np.generic]]:
    """Name and values of a TensorProto. Raises ValueError for numbers that do not fit its shape, and for a type that
    weights do not have; InputError for one whose values are in another file."""
    name = text(message, TENSOR_NAME)
    if any(True for _ in messages(message, TENSOR_EXTERNAL)):
        raise InputError(
            f"{path}: keeps its weights in another file ({name[:60]} and others).",
            hint='save it as one file: python -c \'import onnx; onnx.save(onnx.load("IN.onnx"), "OUT.onnx")\'',
        )
    shape = list(integers(message, TENSOR_DIMS))
    kind = max(integers(message, TENSOR_TYPE), default=0)
    if kind not in DTYPES:
        raise ValueError(f"tensor {name[:60]} of type {kind}")
    dtype = np.dtype(DTYPES[kind])
    values: NDArray[np.generic]
    if any(True for _ in messages(message, TENSOR_RAW)):
        values = np.frombuffer([*messages(message, TENSOR_RAW)][-1], dtype)
    elif kind in (FLOAT, DOUBLE):
        field = TENSOR_FLOATS if kind == FLOAT else TENSOR_DOUBLES
        values = np.frombuffer(b"".join(messages(message, field)), dtype)  # packed, or one by one
    else:
        numbers = list(integers(message, TENSOR_INT64 if dtype == np.int64 else TENSOR_INT32))
        values = np.array(numbers, np.int64)
        values = values.astype("<u2").view(dtype) if kind == FLOAT16 else values.astype(dtype)
    if values.size != math.prod(shape):
        raise ValueError(f"tensor {name[:60]} of shape {shape} holds {values.size} numbers")
    return name, values.reshape(shape)
