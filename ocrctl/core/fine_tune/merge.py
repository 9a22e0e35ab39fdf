"""`ocrctl model merge`: interpolate the weights of a base model and a model fine-tuned from it.

Wortsman et al., "Robust fine-tuning of zero-shot models", 2021 (WiSE-FT, https://arxiv.org/abs/2109.01903): every
weight is (1 - alpha) x base + alpha x new. On the line between the two lie models that keep most of what the base
could read and most of what was learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ocrctl import __version__
from ocrctl.core.eval.set_scores import SetScores, score_set
from ocrctl.errors import InputError, UsageError, counted
from ocrctl.files.atomic import check_writable
from ocrctl.inference.decoding import GREEDY, Decoding
from ocrctl.inference.engine import Engine
from ocrctl.inference.locate import ModelFile, locate
from ocrctl.inference.torch_backend import TorchBackend
from ocrctl.metrics.bootstrap import Interval
from ocrctl.models.checkpoint import write_checkpoint
from ocrctl.models.class_rows import rows_by_character, shared_rows
from ocrctl.models.ocr_model import OCRModel

AUTO_STEPS = 10  # steps from the base to the new model that `--alpha auto` compares


@dataclass(frozen=True)
class MergeOptions:
    """Options of `model merge`. alpha: None: the best of a grid. max_forgetting: in points of the general set's
    metric. limit: maximum samples of each set."""

    base: str
    new: str
    out: Path
    alpha: float | None = None
    val: str | None = None
    general: str | None = None
    max_forgetting: float = 1.0
    protocol: str | None = None
    limit: int | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    jobs: int | None = None


@dataclass(frozen=True)
class Point:
    """One model on the line; values in 0..1, changes from the base (alpha 0) with 95 % intervals. None: no such set."""

    alpha: float
    val: float | None
    val_change: Interval | None
    general: float | None
    general_change: Interval | None
    within_limit: bool


@dataclass(frozen=True)
class Merged:
    """Result of a merge: the written file, its alpha, every measured point, and notes for the reader."""

    path: Path
    alpha: float
    metric: str | None
    points: list[Point]
    notes: list[str]


class Line:
    """The models between two sets of weights, one at a time in the same module."""

    def __init__(self, model: OCRModel, base: dict[str, Tensor], new: dict[str, Tensor]) -> None:
        self.model, self.base, self.new = model, base, new
        self._alpha: float | None = None

    def weights(self, alpha: float) -> dict[str, Tensor]:
        """Return the weights at `alpha`; both ends are exact, and integers are those of the new model."""
        if alpha in (0.0, 1.0):
            ends = self.new if alpha else self.base
            return {name: ends[name] if value.is_floating_point() else value for name, value in self.new.items()}
        return {
            name: torch.lerp(self.base[name], value, alpha) if value.is_floating_point() else value
            for name, value in self.new.items()
        }

    def load(self, alpha: float) -> None:
        """Give the module the weights at `alpha`."""
        if alpha != self._alpha:
            self.model.load_state_dict(self.weights(alpha))
            self._alpha = alpha


class _PointBackend:
    """The backend of one point of the line."""

    def __init__(self, backend: TorchBackend, line: Line, alpha: float) -> None:
        self._backend, self._line, self._alpha = backend, line, alpha
        self.name, self.device, self.note, self.card = backend.name, str(backend.device), "", backend.card

    def outputs(self, *args: Any, **named: Any) -> Any:
        """Run the model, as TorchBackend.outputs."""
        self._line.load(self._alpha)
        return self._backend.outputs(*args, **named)


def merge(
    options: MergeOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,
    report: Callable[[str], None] = lambda line: None,
) -> Merged:
    """Interpolate, measure the sets that are given, and write the model; of `alpha` None the best one.

    The best has the highest value on the `val` set among those whose value on the `general` set is at most
    `max_forgetting` points below the base's; of equals the one nearest to the base. The result has the charset and the
    card of the new model: class weights are matched by character. `report` is called with a line for each stage.
    Raises UsageError for options that do not fit,
    InputError for models of another architecture or with other sizes.
    """
    _check_options(options)
    files = [locate(model) for model in (options.base, options.new)]
    report(f"model merge: reading {options.base} and {options.new}")
    first, second = (TorchBackend(file.path, options.device, options.threads) for file in files)
    base, notes = _matched(first, second, files)
    line = Line(second.model, base, {name: value.clone() for name, value in second.model.state_dict().items()})
    points, metric = _measure(options, files[1], second, line, progress, report)
    alpha = options.alpha if options.alpha is not None else _best(points)
    if options.alpha is None and alpha == 0:
        notes.append("no model on the line is better than the base within the limit: the base's weights were written")
    report(f"model merge: writing {options.out}")
    write_checkpoint(options.out, replace(second.card, version=__version__), line.weights(alpha))
    return Merged(options.out, alpha, metric, points, notes)


def _check_options(options: MergeOptions) -> None:
    if options.alpha is None and options.val is None:
        raise UsageError("--alpha auto requires --val, the set to choose by.", hint="--val SPEC, or --alpha 0.5")
    if options.alpha is not None and not 0 <= options.alpha <= 1:
        raise UsageError(f"--alpha {options.alpha:g}: expected auto or 0 (the base) to 1 (the new model).")
    if options.out.is_dir() or options.out.exists():
        raise UsageError(f"{options.out} exists already.", hint="choose another -o, such as -o merged.ckpt")
    if options.out.suffix == ".onnx":
        raise UsageError(f"{options.out}: the result is a checkpoint.", hint="-o merged.ckpt, then: ocrctl export")
    check_writable(options.out)


def _matched(
    first: TorchBackend, second: TorchBackend, files: Sequence[ModelFile]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the base's weights in the shapes of the new model, and notes on the charsets."""
    one, two = first.card, second.card
    if one.arch != two.arch:
        raise InputError(
            f"{files[0].path} is a {one.arch}, {files[1].path} a {two.arch}: only models of one architecture can be "
            "merged."
        )
    base, own, notes = dict(first.model.state_dict()), second.model.state_dict(), []
    if one.charset != two.charset:
        pairs = shared_rows(two.charset, one.charset)
        if not pairs:
            raise InputError(f"{files[0].path} and {files[1].path}: their charsets share no character.")
        for name in second.model.class_tensors:
            if base[name].shape[1:] == own[name].shape[1:]:
                base[name] = rows_by_character(own[name], base[name], pairs, len(one.charset))
        lost, new = len(one.charset) - len(pairs), len(two.charset) - len(pairs)
        notes.append(
            f"charset of {files[1].name}: {len(pairs)} characters of both models"
            + (f", {new} only in the new model, whose weights they keep" if new else "")
            + (f"; {lost} characters of the base are lost" if lost else "")
        )
    second.model.adapt_weights(base)
    for name, value in own.items():
        if name not in base or base[name].shape != value.shape:
            found = tuple(base[name].shape) if name in base else "missing"
            raise InputError(
                f"{files[0].path} and {files[1].path}: {name} is {found} in one and {tuple(value.shape)} in the other, "
                "so they cannot be merged."
            )
    if one.ngram != two.ngram:
        kept = f"n-gram model of {files[1].name}" if two.ngram else f"without the n-gram model of {files[0].name}"
        notes.append(f"{kept}; measured without")
    if one.thresholds != two.thresholds:
        notes.append(f"thresholds of {files[1].name}; check them with: ocrctl eval --find-threshold")
    return base, notes


def _measure(
    options: MergeOptions,
    file: ModelFile,
    backend: TorchBackend,
    line: Line,
    progress: Callable[[int, int], None],
    report: Callable[[str], None],
) -> tuple[list[Point], str | None]:
    """Score the points that are needed on the sets that are given."""
    grid = [step / AUTO_STEPS for step in range(AUTO_STEPS + 1)]
    alphas = grid if options.alpha is None else sorted({0.0, options.alpha, 1.0})
    greedy = Decoding.parse(GREEDY)  # the weights are compared, without the n-gram model of either
    engines = [Engine(file, _PointBackend(backend, line, alpha), greedy) for alpha in alphas]
    found: dict[str, list[SetScores]] = {}
    for name, spec in (("val", options.val), ("general", options.general)):
        if spec is not None:
            report(f"model merge: measuring {counted(len(alphas), 'model')} on {spec}")
            found[name] = score_set(
                engines, spec, protocol=options.protocol, limit=options.limit, seed=options.seed, jobs=options.jobs,
                progress=progress,
            )  # fmt: skip
    if not found:
        return [], None
    points = []
    for number, alpha in enumerate(alphas):
        val, general = (found[name][number] if name in found else None for name in ("val", "general"))
        changes = [
            scores[number].change_from(scores[0], seed=options.seed) if scores is not None else None
            for scores in (found.get("val"), found.get("general"))
        ]
        drop = 100 * -changes[1].value if changes[1] is not None else 0.0
        points.append(
            Point(
                alpha, val.value if val else None, changes[0], general.value if general else None, changes[1],
                drop <= options.max_forgetting + 1e-9,
            )
        )  # fmt: skip
    return points, next(iter(found.values()))[0].metric


def _best(points: Sequence[Point]) -> float:
    allowed = [point for point in points if point.within_limit]
    return max(allowed, key=lambda point: (round(point.val or 0.0, 9), -point.alpha)).alpha
