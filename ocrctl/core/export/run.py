"""Export models to ONNX; a file is written only if its outputs match those of the checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.suggest import did_you_mean
from ocrctl.core.eval.word_samples import open_samples
from ocrctl.core.export.check_pages import check_pages, counted, open_pages
from ocrctl.data.formats.spec import parse_spec
from ocrctl.errors import OcrctlError, UsageError
from ocrctl.export.named_weights import check_half
from ocrctl.export.onnx import OPSET, to_onnx, write_onnx
from ocrctl.export.parity import Parity, compare, probe_images
from ocrctl.files.atomic import check_writable, temporary_of
from ocrctl.files.durable import sync_folder
from ocrctl.files.folder import shared_folder
from ocrctl.inference.engine import Engine
from ocrctl.inference.locate import ModelFile, locate
from ocrctl.inference.onnx_backend import OnnxBackend
from ocrctl.inference.prefetch import chunks, default_jobs, map_ahead
from ocrctl.inference.torch_backend import TorchBackend
from ocrctl.metrics.recognition import describe_constant_predictions
from ocrctl.models.build import build_trained
from ocrctl.models.card import with_decoding
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.models.finite import refuse_not_finite_outputs

# logits, maps: largest relative difference allowed (Parity.max_diff);
# strings, boxes: share of samples allowed to differ.
TOLERANCES = {"logits": 1e-3, "strings": 0.0, "maps": 1e-3, "boxes": 0.0}
# of the samples of --verify when weights are stored as float16, compared with the checkpoint's own
HALF_TOLERANCES = {"logits": 0.5, "strings": 0.005, "maps": 5.0, "boxes": 0.02}
FP32, FP16_WEIGHTS = PRECISIONS = ("fp32", "fp16-weights")
PROBE_BATCHES = (1, 17)  # one image, and an odd batch size that equals no other dimension
VERIFY_BATCH = 64
VERIFY_SYNTH = 1000  # words of an endless stream
GLANCE_SYNTH = 32  # rendered words that a recogniser reads without --verify
_STEPS = 4  # of one export without --verify: the graph, a batch of 1, one of N, the rendered words


@dataclass(frozen=True)
class ExportOptions:
    """Options of `export`: `verify` is a SPEC on whose samples the outputs must match; `decoding`, ar or nar, is that
    of the graph of an autoregressive model (None: that of its training); `precision`, fp32 or fp16-weights, how weights
    are stored."""

    models: list[str]
    out: Path
    verify: str | None = None
    tolerances: dict[str, float] = field(default_factory=dict)
    decoding: str | None = None
    precision: str = FP32


@dataclass(frozen=True)
class Exported:
    """One model: `path` is the written file, None when a check failed."""

    name: str
    source: str
    path: Path | None
    size_bytes: int
    parameters: int
    opset: int
    checks: list[Parity]
    failures: list[str]
    task: str  # recognition or detection
    nothing: str = ""  # why the model reads nothing, by rendered words, where --verify did not check it


@dataclass(frozen=True)
class ExportReport:
    """Result for every model, and the tolerances."""

    models: list[Exported]
    tolerances: dict[str, float]

    @property
    def ok(self) -> bool:
        """Return whether every model was written."""
        return all(model.path is not None for model in self.models)


def export(
    options: ExportOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,
    report: Callable[[str], None] = lambda line: None,
) -> ExportReport:
    """Export each model to `out`/NAME.onnx if PyTorch and ONNX Runtime match on batches of 1 and N. `progress` counts
    the samples of `verify`, else the steps of each model; `report` is called with a line for each stage.

    Raises UsageError (a model that is ONNX already, two models of one name, an unknown tolerance, an `out` that another
    process writes), InputError (an unreadable model or SPEC, an `out` that cannot be written).
    """
    if options.precision not in PRECISIONS:
        raise UsageError(
            f"--precision {options.precision}: expected {' or '.join(PRECISIONS)}."
            f"{did_you_mean(options.precision, PRECISIONS)}"
        )
    tolerances = _tolerances(options.tolerances)
    files = [locate(model) for model in options.models]
    _check_names(files)
    spec = parse_spec(options.verify) if options.verify is not None else None
    if spec is not None and spec.name == "pages":
        hint = "ocrctl dataset synth OUT --pages writes one"
        raise UsageError(f"--verify {spec.raw}: expected a finite set of pages.", hint=hint)
    with shared_folder(options.out):
        for file in files:
            check_writable(options.out / f"{file.name}.onnx")  # before the slow export
        exported = []
        for number, file in enumerate(files):

            def step(done: int, number: int = number) -> None:
                if options.verify is None:
                    progress(number * _STEPS + done, len(files) * _STEPS)

            step(0)
            exported.append(_export_one(file, options, tolerances, progress, step, report))
        return ExportReport(exported, tolerances)


def _tolerances(given: dict[str, float]) -> dict[str, float]:
    for name, value in given.items():
        if value < 0:
            raise UsageError(f"--tolerance {name}={value:g}: expected a number >= 0.")
    for name in given:
        if name not in TOLERANCES:
            raise UsageError(
                f"unknown tolerance '{name}' (known: {', '.join(TOLERANCES)}).{did_you_mean(name, TOLERANCES)}"
            )
    return TOLERANCES | given


def _check_names(files: list[ModelFile]) -> None:
    paths: dict[str, Path] = {}
    for file in files:
        if file.name in paths:
            raise UsageError(
                f"{paths[file.name]} and {file.path} would both become {file.name}.onnx; export one at a time."
            )
        paths[file.name] = file.path


def _export_one(
    file: ModelFile,
    options: ExportOptions,
    tolerances: dict[str, float],
    progress: Callable[[int, int], None],
    step: Callable[[int], None],
    report: Callable[[str], None],
) -> Exported:
    report(f"export: {file.name}: reading {file.path}")
    card, state = load_checkpoint(file.path)
    card = with_decoding(card, options.decoding, file.path)
    # Opened first, to report a wrong SPEC before the slow export.
    pages = open_pages(options.verify) if options.verify is not None and card.task == "detection" else None
    model = build_trained(card, state, file.path)
    refuse_not_finite_outputs(model, card, file.path)
    half = options.precision == FP16_WEIGHTS
    if half:
        check_half(model)  # before the slow export
    final = options.out / f"{file.name}.onnx"
    part = temporary_of(final)  # `out` is locked: no other process writes to it
    try:
        report(f"export: {file.name}: writing the graph")
        write_onnx(to_onnx(model, card, half_weights=half), part)
        size = part.stat().st_size
        step(1)
        report(f"export: {file.name}: comparing PyTorch and ONNX Runtime")
        torch_engine = _torch_engine(file.path, file.name, options.decoding)
        # The graph must give what PyTorch gives with the same weights: with those of the file where they were rounded.
        same_weights = _torch_engine(part, file.name, options.decoding) if half else torch_engine
        onnx_engine = Engine(ModelFile(part, "onnx", file.name), OnnxBackend(part, "cpu", None))
        if torch_engine.detects:
            checks = check_pages(torch_engine, onnx_engine, pages, progress, same_weights)
        else:
            checks = []
            for number, batch in enumerate(PROBE_BATCHES, 2):
                checks.append(_probe(same_weights, onnx_engine, batch))
                step(number)
        if options.verify is not None and not torch_engine.detects:
            report(f"export: {file.name}: comparing on {options.verify}")
            labels, batches = _samples(torch_engine, options.verify)
            checks.append(
                compare(torch_engine, onnx_engine, options.verify, counted(batches, len(labels), progress), labels)
            )
        rounded = tolerances if not half else TOLERANCES | HALF_TOLERANCES | options.tolerances
        failures = [
            failure
            for number, check in enumerate(checks)
            for failure in _failures(check, rounded if number == len(PROBE_BATCHES) else tolerances)
        ]
        recogniser = options.verify is None and not torch_engine.detects
        nothing = _reads_nothing(torch_engine) if recogniser and not failures else ""
        step(_STEPS)
        if not failures:
            os.replace(part, final)
            sync_folder(options.out)
    finally:
        part.unlink(missing_ok=True)
    return Exported(
        name=file.name,
        source=str(file.path),
        path=None if failures else final,
        size_bytes=size,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        opset=OPSET,
        checks=checks,
        failures=failures,
        task=card.task,
        nothing=nothing,
    )


def _torch_engine(path: Path, name: str, decoding: str | None) -> Engine:
    return Engine(ModelFile(path, "checkpoint", name), TorchBackend(path, "cpu", None, decoding))


def _probe(torch_engine: Engine, onnx_engine: Engine, size: int) -> Parity:
    images = [[image] for image in probe_images(torch_engine, size)]
    names = [f"probe {index}" for index in range(size)]
    return compare(torch_engine, onnx_engine, f"batch of {size}", [(names, images)])


def _reads_nothing(engine: Engine) -> str:
    """Return why the model reads nothing, by a few rendered words of its charset; "" when it reads, and when its
    characters cannot be rendered."""
    try:
        labels, batches = _samples(engine, "synth:words", GLANCE_SYNTH)
        texts = [item.text for _, batch in batches for item in engine.recognize_orientations(batch)]
    except OcrctlError:
        return ""
    return describe_constant_predictions(texts, labels) or ""


def _samples(
    engine: Engine, spec: str, of_stream: int | None = None
) -> tuple[Sequence[str], Iterator[tuple[list[str], list[list[NDArray[np.uint8]]]]]]:
    """Return the labels of `spec`, or of the first `of_stream` (VERIFY_SYNTH) words of a stream, and its images in
    chunks, prepared in every orientation that they are read in.

    Raises InputError for an unreadable image.
    """
    limit = (of_stream or VERIFY_SYNTH) if parse_spec(spec).format == "synth" else None
    [source] = open_samples([spec], [engine.card], limit, 0, [])

    def load(indices: list[int]) -> tuple[list[str], list[list[NDArray[np.uint8]]]]:
        names = [source.where(index) for index in indices]
        return names, [engine.prepare_orientations(source.image(index)) for index in indices]

    return source.labels, map_ahead(load, chunks(range(len(source.labels)), VERIFY_BATCH), default_jobs())


def _failures(check: Parity, tolerances: dict[str, float]) -> list[str]:
    failures = []
    values = "maps" if check.of == "boxes" else "logits"
    if not check.max_diff <= tolerances[values]:
        failures.append(f"{check.what}: {values} differ by {check.max_diff:.3g}, allowed {tolerances[values]:.3g}")
    if check.nothing:
        failures.append(f"{check.what}: the model reads nothing ({check.nothing}), so nothing was compared")
    share = len(check.differing) / max(1, check.samples)
    if share > tolerances[check.of]:
        pages = "pages' " if check.of == "boxes" else ""
        failures.append(f"{check.what}: {len(check.differing)} of {check.samples} {pages}{check.of} differ")
    return failures
