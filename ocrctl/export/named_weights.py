"""ONNX graphs that keep every weight of the model under its own name, large ones stored as float16.

PyTorch's exporter folds normalisation and transposition into the weights; here they stay nodes, which ONNX Runtime
folds when it loads the file. So the file is little more than half as large, runs as fast, and `train --from`, `export`
and `model merge` can read the model's weights from it (`models.checkpoint.load_checkpoint`). Arithmetic is float32: a
Cast follows each float16 tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants_ir

from ocrctl.errors import InputError

if TYPE_CHECKING:
    from ocrctl.models.ocr_model import OCRModel

PREFIX = "model."  # of the names of weights in a graph
LARGE = 1 << 16  # values from which a tensor is stored as float16: most of the bytes, least of the error
FOLDING_ROUNDS = 2  # of constant folding, as PyTorch's exporter has


def simplify(graph: onnx_ir.Model) -> None:
    """Inline functions, fold constants other than weights and remove what is unused, in place."""
    common.InlinePass()(graph)
    for _ in range(FOLDING_ROUNDS):
        fold_constants_ir(graph, onnx_shape_inference=True, should_fold=_no_weight)
        common.RemoveUnusedNodesPass()(graph)
    common.RemoveUnusedFunctionsPass()(graph)
    common.RemoveUnusedOpsetsPass()(graph)
    common.CommonSubexpressionEliminationPass()(graph)


def _no_weight(node: onnx_ir.Node) -> bool | None:
    """False for a node that would compute with weights; None: by the usual rules. Only their shape may be folded."""
    if node.op_type in ("Shape", "Size"):
        return None
    weights = (value for value in node.inputs if value is not None and value.is_initializer())
    return False if any((value.name or "").startswith(PREFIX) for value in weights) else None


def store_named(proto: onnx.ModelProto, model: OCRModel) -> None:
    """Store every tensor of `model` in `proto` under its name: LARGE ones as float16, and those that the
    graph does not use, such as the branches of training, as well.

    Raises InputError when the graph holds another tensor under such a name, or a weight is too large for float16.
    """
    graph = proto.graph
    held = {tensor.name: tensor for tensor in graph.initializer}
    weights = model.state_dict()
    renamed = {}  # constants of the model that are no weights, such as the mean of the normalisation
    for name in [name for name in held if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in weights]:
        renamed[name] = held[name].name = f"constant.{name.removeprefix(PREFIX)}"
    for name, value in weights.items():
        values = value.cpu().numpy()
        tensor = held.get(PREFIX + name)
        if tensor is None:
            tensor = graph.initializer.add(name=PREFIX + name)
        elif not np.array_equal(numpy_helper.to_array(tensor), values):
            raise InputError(f"{name}: its weights are folded into the graph, and cannot be kept by name.")
        tensor.CopyFrom(numpy_helper.from_array(half(values, name), PREFIX + name))
    halves = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    nodes = [node for part in graphs(graph) for node in part.node]  # those in the loop of a decoder, too
    used = {given for node in nodes for given in node.input}
    casts = [
        helper.make_node("Cast", [name], [f"{name}.float32"], name=f"{name}.float32", to=TensorProto.FLOAT)
        for name in sorted(halves & used)
    ]
    renamed |= {name: f"{name}.float32" for name in halves}
    for node in nodes:
        for index, given in enumerate(node.input):
            node.input[index] = renamed.get(given, given)
    outer = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(outer)
    infos = [info for info in graph.value_info if info.name not in renamed]
    del graph.value_info[:]
    graph.value_info.extend(infos)


def check_half(model: OCRModel) -> None:
    """Raise InputError when a weight of `model` is too large for float16, which `store_named` finds after tracing."""
    for name, value in model.state_dict().items():
        half(value.cpu().numpy(), name)


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield `graph` and the graphs inside its nodes, such as the body of a loop, at any depth."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def half(values: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    """Return `values` as float16 when they are float32 and LARGE. Raises InputError for one that it cannot hold."""
    if values.dtype != np.float32 or values.size < LARGE:
        return values
    largest = float(np.abs(values).max(initial=0.0))
    if largest > np.finfo(np.float16).max:
        raise InputError(
            f"{name}: holds {largest:.3g}, more than float16 can store ({np.finfo(np.float16).max:g}).",
            hint="export with --precision fp32",
        )
    return values.astype(np.float16)
