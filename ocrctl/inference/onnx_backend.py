"""Run an exported graph with ONNX Runtime, on the CPU or on a CUDA device, as a backend of the engine."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.errors import InputError, MissingRequirement, UsageError
from ocrctl.inference.onnx_weights import refuse_not_finite
from ocrctl.models.card import read_card, with_decoding
from ocrctl.models.onnx_tensors import damaged_onnx
from ocrctl.models.registry import specs
from ocrctl.runtime import DIAGNOSE, driver_gpu_count, model_threads, parse_device
from ocrctl.shortages import shortage_of

WIDTHS = "widths"  # input of a graph that keeps the aspect ratio, int64 (N,)
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"


class OnnxBackend:
    """Run an ONNX file that `ocrctl export` wrote. `threads`: CPU threads of an operator; None uses every core.
    `decoding` (models.card.with_decoding) must be the one it was exported with. `content`: such a file that was made in
    memory of the one at `path` and has finite weights."""

    name = "onnx"

    def __init__(
        self, path: Path, device: str, threads: int | None, decoding: str | None = None, content: bytes | None = None
    ) -> None:
        self.note = ""
        session = self._open(path, device, threads, content)
        if content is None:
            refuse_not_finite(path)
        self.card = _card(session, path)
        if with_decoding(self.card, decoding, path) != self.card:
            raise UsageError(
                f"{path}: reads by '{self.card.model.get('decoding')}', which is part of the graph.",
                hint=f"export it again with --decoding {decoding}",
            )
        _check_outputs(session, self.card, path)
        self._input = session.get_inputs()[0].name
        self._outputs = [output.name for output in session.get_outputs()]
        self._session, self._path = session, path

    def _open(self, path: Path, device: str, threads: int | None, content: bytes | None) -> Any:
        kind, index = parse_device(device)
        if kind == "cuda" or (kind == "auto" and driver_gpu_count() > 0):
            reason = "it lists no CUDA provider"
            if CUDA in onnxruntime.get_available_providers():
                missing = _preload()
                chosen = index or 0
                session = _session(path, [(CUDA, {"device_id": chosen}), CPU], threads, content)
                if session.get_providers()[0] == CUDA:
                    self.device = f"cuda:{chosen}"
                    return session
                reason = f"its CUDA provider did not load ({missing or 'it names no reason'})"
            message = f"ONNX Runtime {onnxruntime.__version__} cannot use CUDA: {reason}"
            if kind == "cuda":
                raise MissingRequirement(f"device '{device}' was asked for, but {message}.", hint=DIAGNOSE)
            self.note = f"{message}; running on the CPU"
        self.device = "cpu"
        return _session(path, [CPU], threads, content)

    def outputs(
        self, batch: NDArray[np.uint8], widths: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Run uint8 (N, H, W, C); returns the outputs of the graph, float32. widths: as in Engine.logits. Raises
        InputError when the graph cannot be run, or returns other shapes than it declares."""
        images = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))  # (N, C, H, W)
        named = {self._input: images} if widths is None else {self._input: images, WIDTHS: widths}
        try:
            values = self._session.run(self._outputs, named)
        except Exception as error:  # onnxruntime raises its own unrelated classes
            if shortage_of(error):
                raise
            raise InputError(f"{self._path}: ONNX Runtime cannot run it ({_first_line(error)}).") from error
        outputs = dict(zip(self._outputs, values, strict=True))
        for name, value in outputs.items():
            if value.dtype != np.float32 or value.ndim < 3 or value.shape[0] != len(batch):
                raise InputError(
                    f"{self._path}: the graph gives {name} as {value.dtype} {value.shape} for {len(batch)} images."
                )
        return outputs


def _preload() -> str:
    """Load CUDA and cuDNN from the nvidia wheels or from torch; returns ONNX Runtime's message on a failure."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # it prints, and stdout belongs to results
        onnxruntime.preload_dlls()
    lines = printed.getvalue().strip().splitlines()
    return lines[0].rstrip(".") if lines else ""


def _session(path: Path, providers: list[Any], threads: int | None, content: bytes | None) -> Any:
    options = onnxruntime.SessionOptions()
    # An explicit count: ONNX Runtime's own default pins threads to physical cores, which fails noisily in containers.
    options.intra_op_num_threads = model_threads(threads)
    options.inter_op_num_threads = 1  # the graph is one chain
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    onnxruntime.set_default_logger_severity(4)  # what goes wrong is reported here, in one sentence
    # Threads that spin between operators take the cores that decode the next images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(content or str(path), options, providers=providers)
    except Exception as error:  # onnxruntime raises its own unrelated classes
        if shortage_of(error):
            raise
        if "INVALID_PROTOBUF" in str(error):
            raise damaged_onnx(path, "it cannot be parsed") from error
        raise InputError(f"{path}: ONNX Runtime cannot open it ({_first_line(error)}).") from error
    session.disable_fallback()
    return session


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _card(session: Any, path: Path) -> ModelCard:
    try:
        text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the metadata of the ONNX file is damaged (not UTF-8).") from error
    if text is None:
        raise InputError(
            f"{path}: the ONNX file has no '{CARD_KEY}' metadata, so its charset and preprocessing are unknown.",
            hint="write it with: ocrctl export CHECKPOINT -o DIR",
        )
    card = read_card(text, str(path))
    inputs = session.get_inputs()
    names = ["images", WIDTHS] if card.kept else [inputs[0].name if inputs else "images"]
    if [found.name for found in inputs] != names:
        raise InputError(f"{path}: the graph should have the inputs {names}, found {[one.name for one in inputs]}.")
    if card.kept and (inputs[1].type != "tensor(int64)" or len(inputs[1].shape) != 1):
        raise InputError(
            f"{path}: the graph takes {WIDTHS} as {inputs[1].type} {inputs[1].shape}, expected int64 (N,)."
        )
    graph = inputs[0]
    sides: list[int | str] = [card.height, card.width]
    if card.task == "detection":
        sides = [side for side in graph.shape[2:] if isinstance(side, str)]  # pages of any size
    elif card.kept:
        sides = [card.height, *(side for side in graph.shape[3:] if isinstance(side, str))]  # words of any width
    wanted = [card.channels, *sides]
    if graph.type != "tensor(uint8)" or len(wanted) != 3 or list(graph.shape[1:]) != wanted:
        raise InputError(f"{path}: the graph takes {graph.type} {graph.shape}, its card says uint8 (N, {wanted}).")
    return card


def _check_outputs(session: Any, card: ModelCard, path: Path) -> None:
    """Raise InputError unless the graph has the outputs of a model with `card`: its maps, or logits with a class per
    character."""
    found = {output.name: output for output in session.get_outputs()}
    spec = specs().get(card.arch)
    wanted: tuple[str, ...] = tuple(spec.detector.maps) if spec and spec.detector else ("logits",)
    for name in wanted:
        if name not in found or found[name].type != "tensor(float)":
            outputs = ", ".join(f"{other} {output.type}" for other, output in found.items())
            raise InputError(f"{path}: the graph should give {name} as float32, found {outputs or 'no output'}.")
    if card.task == "recognition":
        shape, classes = found["logits"].shape, len(card.charset) + 1
        if len(shape) != 3 or shape[2] != classes:
            raise InputError(
                f"{path}: the charset of its card has {len(card.charset)} characters, which needs logits of "
                f"{classes} classes; the graph gives {shape}.",
                hint="use the file as ocrctl export wrote it",
            )
