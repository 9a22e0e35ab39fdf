"""Write an ONNX file anew with other weights, and another number of classes, without importing onnx."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ocrctl.files.protobuf import encoded, fields, text
from ocrctl.models.onnx_tensors import (
    ENTRY_KEY,
    ENTRY_VALUE,
    FLOAT,
    GRAPH_INITIALIZER,
    MODEL_GRAPH,
    MODEL_METADATA,
    TENSOR_DIMS,
    TENSOR_NAME,
    TENSOR_RAW,
    TENSOR_TYPE,
    OnnxTensors,
)

GRAPH_OUTPUT = 12
# from a ValueInfoProto down to the sizes of its tensor: type, tensor_type, shape, dim
TO_DIMENSION = (2, 1, 2, 1)
DIMENSION_VALUE = 1


def rewritten(
    content: bytes,
    given: OnnxTensors,
    tensors: Mapping[str, NDArray[np.float32]],
    metadata: Mapping[str, str],
    classes: tuple[int, int],
) -> bytes:
    """Return the ONNX file `content`, whose tensors are `given`, with others in their stead, in float32.

    tensors: new values of initialisers, by name. metadata: new values of metadata_props. classes: the number of classes
    before and now: outputs of that size are declared anew, and constants that hold one number for each class are given
    as many as there are now. Raises ValueError for a constant whose numbers differ by class.
    """
    before, now = classes
    changed: dict[str, NDArray[np.float32]] = dict(tensors)
    for name, values in given.tensors.items():
        if name not in tensors and values.dtype == np.float32 and values.shape == (before,) and before != now:
            if not (values == values[0]).all():
                raise ValueError(f"{name} holds another number for each of {before} classes")
            changed[name] = np.full(now, values[0], np.float32)
    parts: list[bytes] = []
    # The messages that are taken apart here hold integers and bytes only, so every field is written as it was read.
    for number, field in fields(memoryview(content)):
        if number == MODEL_GRAPH and isinstance(field, memoryview):
            parts.append(encoded(number, _graph(field, changed, before, now)))
        elif number == MODEL_METADATA and isinstance(field, memoryview) and text(field, ENTRY_KEY) in metadata:
            key = text(field, ENTRY_KEY)
            entry = encoded(ENTRY_KEY, key.encode()) + encoded(ENTRY_VALUE, metadata[key].encode())
            parts.append(encoded(number, entry))
        else:
            parts.append(encoded(number, field))
    return b"".join(parts)


def _graph(graph: memoryview, changed: Mapping[str, NDArray[np.float32]], before: int, now: int) -> bytes:
    parts: list[bytes] = []
    for number, field in fields(graph):
        if number == GRAPH_INITIALIZER and isinstance(field, memoryview):
            name = text(field, TENSOR_NAME)
            parts.append(encoded(number, _tensor(name, changed[name]) if name in changed else field))
        elif number == GRAPH_OUTPUT and isinstance(field, memoryview):
            parts.append(encoded(number, _with_size(field, TO_DIMENSION, before, now)))
        else:
            parts.append(encoded(number, field))
    return b"".join(parts)


def _with_size(message: memoryview, path: tuple[int, ...], before: int, now: int) -> bytes:
    """Return `message` with sizes `before`, in the fields `path` leads to, as `now`."""
    parts: list[bytes] = []
    for number, field in fields(message):
        if path and number == path[0] and isinstance(field, memoryview):
            parts.append(encoded(number, _with_size(field, path[1:], before, now)))
        elif not path and number == DIMENSION_VALUE and field == before:
            parts.append(encoded(number, now))
        else:
            parts.append(encoded(number, field))
    return b"".join(parts)


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    """A TensorProto of float32."""
    dims = b"".join(encoded(TENSOR_DIMS, size) for size in values.shape)
    raw = np.ascontiguousarray(values, "<f4").tobytes()
    return dims + encoded(TENSOR_TYPE, FLOAT) + encoded(TENSOR_NAME, name.encode()) + encoded(TENSOR_RAW, raw)
