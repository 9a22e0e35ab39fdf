"""Read tensors and metadata of an ONNX file without importing onnx.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError
from ocrctl.files.protobuf import decoded, fields, grouped, integers, messages, text, unpacked
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

SAVE_AS_ONE = 'import onnx; onnx.save(onnx.load("IN.onnx"), "OUT.onnx")'


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
    model = _content(path)
    with _refusing_damage(path):
        tensors: dict[str, NDArray[np.generic]] = {}
        for graph in messages(model, MODEL_GRAPH):
            for message in messages(graph, GRAPH_INITIALIZER):
                tensor = _Tensor(message)
                if tensor.external:
                    raise InputError(
                        f"{path}: keeps its weights in another file ({tensor.name[:60]} and others).",
                        hint=f"save it as one file: python -c '{SAVE_AS_ONE}'",
                    )
                tensors[tensor.name] = tensor.values()
        metadata = _metadata(model)
        opsets = [
            max(integers(entry, OPSET_VERSION), default=0)
            for entry in messages(model, MODEL_OPSET)
            if text(entry, OPSET_DOMAIN) in ("", "ai.onnx")
        ]
    if not tensors:
        raise InputError(f"{path}: not an ONNX file with weights (it holds no initialisers).")
    return OnnxTensors(tensors, metadata, max(opsets, default=0))


def read_float_tensors(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Iterate over name and values of the floating-point tensors in the ONNX file at `path`: initialisers, and
    constants of nodes, which may have no name, also those of subgraphs. Values in another file are left out.

    Raises InputError as `read_onnx_tensors`.
    """
    model = _content(path)
    with _refusing_damage(path):
        graphs = list(messages(model, MODEL_GRAPH))
        while graphs:
            graph = graphs.pop()
            found = list(messages(graph, GRAPH_INITIALIZER))
            holders = {ATTRIBUTE_TENSOR: found, ATTRIBUTE_GRAPH: graphs}
            for node in messages(graph, GRAPH_NODE):
                for attribute in messages(node, NODE_ATTRIBUTE):
                    for number, content in fields(attribute):
                        if number in holders and isinstance(content, memoryview):
                            holders[number].append(content)
            for tensor in map(_Tensor, found):
                if tensor.kind in FLOATS and not tensor.external:
                    yield tensor.name, tensor.values()


def damaged_onnx(path: Path, reason: object) -> InputError:
    """Return the error for a file at `path` that is no ONNX file, or is cut off or damaged."""
    return InputError(f"{path}: not an ONNX file, or a damaged one ({reason}).", hint="download or copy it again")


def onnx_metadata(path: Path) -> dict[str, str]:
    """Read metadata_props of the ONNX file at `path`. Raises OSError when it cannot be read, IndexError or ValueError
    when it is no ONNX file."""
    return _metadata(memoryview(path.read_bytes()))


def _metadata(model: memoryview) -> dict[str, str]:
    return {text(entry, ENTRY_KEY): text(entry, ENTRY_VALUE) for entry in messages(model, MODEL_METADATA)}


def _content(path: Path) -> memoryview:
    """The content of the file at `path`. Raises InputError when it cannot be read."""
    try:
        check_regular(path)
        return memoryview(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    """Raise InputError for the IndexError or ValueError of a message that is damaged."""
    try:
        yield
    except (IndexError, ValueError) as error:
        raise damaged_onnx(path, error) from error


class _Tensor:
    """A TensorProto: name, data type (TensorProto.DataType), and whether its values are in another file."""

    def __init__(self, message: memoryview) -> None:
        self._fields = grouped(message)
        self.name = decoded(self._fields.get(TENSOR_NAME, ()))
        self.kind = max(unpacked(self._fields.get(TENSOR_TYPE, ())), default=0)
        self.external = TENSOR_EXTERNAL in self._fields

    def values(self) -> NDArray[np.generic]:
        """Return its values; raw ones are views of the message. Raises ValueError for numbers that do not fit its
        shape, and for a type that weights do not have."""
        if self.kind not in DTYPES:
            raise ValueError(f"tensor {self.name[:60]} of type {self.kind}")
        dtype = np.dtype(DTYPES[self.kind])
        values: NDArray[np.generic]
        if raw := self._bytes(TENSOR_RAW):
            values = np.frombuffer(raw[-1], dtype)
        elif self.kind in (FLOAT, DOUBLE):
            field = TENSOR_FLOATS if self.kind == FLOAT else TENSOR_DOUBLES
            values = np.frombuffer(b"".join(self._bytes(field)), dtype)  # packed, or one by one
        else:
            numbers = unpacked(self._fields.get(TENSOR_INT64 if dtype == np.int64 else TENSOR_INT32, ()))
            values = np.array(list(numbers), np.int64)
            values = values.astype("<u2").view(dtype) if self.kind == FLOAT16 else values.astype(dtype)
        shape = list(unpacked(self._fields.get(TENSOR_DIMS, ())))
        if values.size != math.prod(shape):
            raise ValueError(f"tensor {self.name[:60]} of shape {shape} holds {values.size} numbers")
        return values.reshape(shape)

    def _bytes(self, field: int) -> list[memoryview]:
        return [content for content in self._fields.get(field, ()) if isinstance(content, memoryview)]
