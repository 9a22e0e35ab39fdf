"""Export a trained model to one self-contained ONNX file: uint8 images in, logits out, model card in the metadata.

Input `images`: uint8 (N, C, H, W), N free. Output `logits`: float32 (N, T, K). A recogniser that keeps the aspect ratio
takes a free W, a multiple of what its card says, and a second input `widths`: int64 (N,), the columns of each image. Of
a detector H and W are free, multiples of 32, and the outputs are the maps that postprocess asks for. Normalisation is
part of the graph, so that no second copy of it can drift from the one the model was trained with. An
autoregressive model reads in one Loop with its key/value cache, which ends when every text of the batch has ended
(layers.autoregressive.LoopDecoder); the loop of a decoder without that interface is unrolled to the last step.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from ocrctl import __version__
from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.data.images.resize_page import MULTIPLE
from ocrctl.export.named_weights import graphs, simplify, store_named
from ocrctl.files.atomic import no_link
from ocrctl.files.durable import cannot_write
from ocrctl.models.find import detector_spec
from ocrctl.models.ocr_model import OCRModel

INPUT, WIDTHS, OUTPUT = "images", "widths", "logits"
EXAMPLE_PAGE = (96, 128)  # traced at; unlike sides, so that neither is taken for the other
# The opset PyTorch's exporter is written in: no version conversion is needed; ONNX Runtime reads it since 1.14.
OPSET = 18


class _Outputs(nn.Module):
    """The model as a function of tensors to tensors, as an ONNX graph is."""

    def __init__(self, model: OCRModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, images: Tensor, widths: Tensor | None = None) -> tuple[Tensor, ...]:
        """Map uint8 (N, C, H, W) and int64 (N,) to float32 (N, T, K), or to the maps (N, ..., h, w)."""
        if torch.compiler.is_dynamo_compiling():  # the exporter's second try after an error, which unrolls loops
            raise NotImplementedError("models are traced without Dynamo")
        outputs = self.model(images) if widths is None else self.model(images, widths=widths)
        return tuple(outputs[name] for name in self.names)


def output_names(card: ModelCard) -> tuple[str, ...]:
    """Return the names of the outputs: logits, or of a detector the maps on which outlines are found."""
    return tuple(detector_spec(card.arch).maps) if card.task == "detection" else (OUTPUT,)


def to_onnx(model: OCRModel, card: ModelCard, *, half_weights: bool = False) -> onnx.ModelProto:
    """Trace `model` (on the CPU) with a free batch dimension, of a detector free sides as well, and put `card` into the
    file's metadata. half_weights: keep all weights by name, stored as float16 (export.named_weights).
    """
    batch = torch.export.Dim("batch", min=1)
    free: dict[int, Any] = {0: batch}
    height, width = card.height, card.example_width
    if card.task == "detection":
        height, width = EXAMPLE_PAGE
        free |= {2: MULTIPLE * torch.export.Dim("rows", min=1), 3: MULTIPLE * torch.export.Dim("columns", min=1)}
    example: tuple[Tensor, ...] = (torch.zeros(2, card.channels, height, width, dtype=torch.uint8),)  # 1 is specialised
    shapes: dict[str, dict[int, Any]] = {INPUT: free}
    if card.kept is not None:
        multiple = card.kept.multiple
        columns = torch.export.Dim("columns", min=card.kept.batch_width(card.kept.min_width) // multiple)
        free[3] = multiple * columns if multiple > 1 else columns
        example += (torch.tensor([width, width // 2]),)
        shapes[WIDTHS] = {0: batch}
    names = output_names(card)
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():  # the exporter warns about its own internals
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Outputs(model, names).eval(),
                example,
                dynamo=True,
                input_names=list(shapes),
                output_names=list(names),
                dynamic_shapes=shapes,
                opset_version=OPSET,
                external_data=False,
                verbose=False,
                optimize=not half_weights,
            )
            assert program is not None
            if half_weights:
                simplify(program.model)
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
    proto = program.model_proto
    if half_weights:
        store_named(proto, model)
    _strip_traces(proto)
    if card.kept is not None:
        del proto.graph.value_info[:]  # some state the width of the example; ONNX Runtime infers its own
    halve_gelu_last(proto)
    proto.producer_name, proto.producer_version = "ocrctl", __version__
    onnx.helper.set_model_props(proto, {CARD_KEY: card.to_json()})
    onnx.checker.check_model(proto)
    return proto


def _strip_traces(proto: onnx.ModelProto) -> None:
    """Drop the exporter's notes: they hold stack traces with the paths of the machine that exported."""
    for graph in graphs(proto.graph):
        for part in [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph]:
            del part.metadata_props[:]
            part.doc_string = ""


def halve_gelu_last(proto: onnx.ModelProto) -> None:
    """Reorder each GELU from x * (0.5 * (1 + erf)) to (x * (1 + erf)) * 0.5, the order in which ONNX Runtime recognises
    it and runs one operator instead of five. The results are equal: halving is exact."""
    parts = list(graphs(proto.graph))
    nodes = [node for part in parts for node in part.node]
    made = {output: node for node in nodes for output in node.output}
    uses = Counter(name for node in nodes for name in node.input)
    scalars = [one for part in parts for one in part.initializer if tuple(one.dims) == ()]
    halves = {one.name for one in scalars if onnx.numpy_helper.to_array(one) == 0.5}
    for node in nodes:
        for position, name in enumerate(node.input) if node.op_type == "Mul" else ():
            inner = made.get(name)
            if inner is None or inner.op_type != "Mul" or uses[name] != 1:
                continue
            half = next((one for one in inner.input if one in halves), None)
            gate = next((one for one in inner.input if one != half), "")
            gate_inputs = made[gate].input if gate in made else ()
            if half is None or not any(made[one].op_type == "Erf" for one in gate_inputs if one in made):
                continue
            inner.input[:] = [node.input[1 - position], gate]
            node.input[:] = [name, half]
            break


def write_onnx(proto: onnx.ModelProto, path: Path) -> None:
    """Write and sync `proto` at `path`, a temporary name: the caller renames.

    Raises InputError when the path cannot be written, ResumableStop when the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb", opener=no_link) as file:
            file.write(proto.SerializeToString())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise cannot_write(path, error) from error
