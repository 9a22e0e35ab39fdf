"""Find non-finite weights in an ONNX file, without importing onnx.

ONNX Runtime may turn NaN into numbers (its ReLU gives 0), so that the outputs of a broken model may look fine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError
from ocrctl.files.protobuf import integers, messages, text
from ocrctl.models.finite_arrays import not_finite
from ocrctl.models.onnx_tensors import (
    ATTRIBUTE_GRAPH,
    ATTRIBUTE_TENSOR,
    FLOATS,
    GRAPH_INITIALIZER,
    GRAPH_NODE,
    MODEL_GRAPH,
    NODE_ATTRIBUTE,
    TENSOR_DOUBLES,
    TENSOR_FLOATS,
    TENSOR_NAME,
    TENSOR_RAW,
    TENSOR_TYPE,
    damaged_onnx,
)


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
        raise damaged_onnx(path, error) from error


def _tensors(model: memoryview) -> Iterator[tuple[str, NDArray[np.floating]]]:
    """Iterate over the floating-point tensors of a ModelProto: name and flat values."""
    graphs = list(messages(model, MODEL_GRAPH))
    while graphs:
        graph = graphs.pop()
        for tensor in messages(graph, GRAPH_INITIALIZER):
            yield from _values(tensor)
        for node in messages(graph, GRAPH_NODE):
            for attribute in messages(node, NODE_ATTRIBUTE):
                for tensor in messages(attribute, ATTRIBUTE_TENSOR):
                    yield from _values(tensor)
                graphs += messages(attribute, ATTRIBUTE_GRAPH)


def _values(tensor: memoryview) -> Iterator[tuple[str, NDArray[np.floating]]]:
    """Iterate over the parts of a TensorProto: name and values."""
    kind = max(integers(tensor, TENSOR_TYPE), default=0)
    if kind not in FLOATS:
        return
    name = text(tensor, TENSOR_NAME)
    for field in (TENSOR_FLOATS, TENSOR_RAW, TENSOR_DOUBLES):
        for part in messages(tensor, field):
            yield name, np.frombuffer(part, FLOATS[kind])
