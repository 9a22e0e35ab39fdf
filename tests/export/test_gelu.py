"""An exported GELU is one operator in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from ocrctl.export.onnx import halve_gelu_last


def optimised(proto: onnx.ModelProto, path: Path) -> tuple[list[str], onnxruntime.InferenceSession]:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(path).graph.node], session


def test_gelu_is_fused_and_its_values_stay(tmp_path: Path) -> None:
    values = torch.linspace(-4, 4, 63)[None]
    program = torch.onnx.export(nn.GELU().eval(), (values,), dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    proto = program.model_proto
    before, plain = optimised(proto, tmp_path / "before.onnx")
    halve_gelu_last(proto)
    onnx.checker.check_model(proto)
    after, fused = optimised(proto, tmp_path / "after.onnx")
    assert "Erf" in before and after == ["Gelu"]
    name = plain.get_inputs()[0].name
    for session in (plain, fused):
        np.testing.assert_allclose(session.run(None, {name: values.numpy()})[0], nn.GELU()(values), atol=1e-6)


def test_another_half_is_left_alone() -> None:
    """x * (0.5 * y) without an erf: a graph with the same multiplications."""
    make = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [make("Mul", ["half", "y"], ["inner"]), make("Mul", ["x", "inner"], ["out"])], "g",
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1])],
        [onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half")],
    )  # fmt: skip
    proto = onnx.helper.make_model(graph)
    before = proto.SerializeToString()
    halve_gelu_last(proto)
    assert proto.SerializeToString() == before
