"""`ocrctl lmdb`: build, verify and describe LMDBs of word images."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from ocrctl.config.output_steps import longest_label
from ocrctl.core.train.data_errors import CheckedSource, LabelPolicy, data_fix
from ocrctl.data.datasets.check_labels import LONG, STEPS, check_labels
from ocrctl.data.formats.spec import open_source
from ocrctl.data.lmdb.build import Built, Problem, build
from ocrctl.data.lmdb.reader import LmdbWords, data_file
from ocrctl.data.lmdb.verify import verify
from ocrctl.data.lmdb.word_source import SelectedWords, WordSource
from ocrctl.data.validate.word_stats import LabelStats, label_stats, scripts
from ocrctl.errors import InputError
from ocrctl.models.registry import DEFAULT_ARCH, get_spec
from ocrctl.runtime import available_cores
from ocrctl.shell import termination_signals
from ocrctl.text.charset import Charset

MAX_LABEL_LENGTH = 255  # code points; longer ones are usually two joined lines

Progress = Callable[[int, int], None]  # (done, total)


@dataclass(frozen=True)
class BuildOptions:
    """Options of `lmdb build`."""

    spec: str
    out: Path
    jobs: int | None = None  # processes that read and decode; None: one per core this process may use
    max_label_length: int | None = None  # code points; None is MAX_LABEL_LENGTH, 0 no limit
    overwrite: bool = False
    resume: bool = False


@dataclass(frozen=True)
class BuildReport:
    """Result of `lmdb build`; `left_out` samples are not in `out`; `repeated` ones are, but their image occurs
    before."""

    out: Path
    source: str
    samples: int
    written: int
    resumed_from: int
    bytes: int
    seconds: float
    samples_per_second: float
    jobs: int
    reasons: dict[str, int]
    left_out: list[Problem]
    repeated: list[Problem]
    several_pages: list[str]  # locations of TIFFs of which only the first page is read
    needs: TrainingNeeds | None = None  # None where nothing was written


@dataclass(frozen=True)
class TrainingNeeds:
    """How the labels fit the default architecture. `outside`: characters that are not in its charset, with counts;
    `too_long`: labels that are too long or need more output steps; `fit`: samples that fit unchanged; `command`: the
    command line that trains on them (None for fewer than two samples)."""

    arch: str
    fit: int
    outside: dict[str, int]
    too_long: int
    longest: int  # code points
    longest_fitting: int  # code points up to which every label fits
    scripts: dict[str, int]
    command: str | None


@dataclass(frozen=True)
class VerifyReport:
    """Result of `lmdb verify`; `samples` is num-samples, `images` and `labels` count keys; sample 0 in a fault is the
    file."""

    path: Path
    ok: bool
    samples: int
    images: int
    labels: int
    bytes: int
    seconds: float
    faults: list[dict[str, int | str]]


@dataclass(frozen=True)
class InfoReport:
    """Statistics of an LMDB."""

    path: Path
    bytes: int
    labels: LabelStats


class StopSignals:
    """Record Ctrl-C and `termination_signals` in `received` while entered; the second one ends the process."""

    received: int | None = None

    def __enter__(self) -> StopSignals:
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._note) for number in (signal.SIGINT, *termination_signals())
            }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt(number)
        self.received = number


def build_lmdb(options: BuildOptions, progress: Progress = lambda done, total: None) -> BuildReport:
    """Build an LMDB. Raises as the source and `data.lmdb.build.build`; KeyboardInterrupt(signal number) on a signal,
    with finished work kept for --resume."""
    jobs = options.jobs or available_cores()
    start = time.perf_counter()
    source = open_source(options.spec)
    with StopSignals() as signals:
        try:
            built = build(
                source,
                options.out,
                jobs=jobs,
                max_length=MAX_LABEL_LENGTH if options.max_label_length is None else options.max_label_length,
                overwrite=options.overwrite,
                resume=options.resume,
                progress=progress,
                stopping=lambda: signals.received is not None,
            )
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(signals.received or signal.SIGINT) from stop
    seconds = time.perf_counter() - start
    needs = training_needs(options.out, _written(source, built)) if built.written else None
    return BuildReport(
        out=options.out,
        source=source.name,
        samples=built.samples,
        written=built.written,
        resumed_from=built.resumed_from,
        bytes=_size(options.out),
        seconds=seconds,
        samples_per_second=(built.samples - built.resumed_from) / seconds,
        jobs=jobs,
        reasons=dict(Counter(_kind(problem.reason) for problem in built.left_out).most_common()),
        left_out=built.left_out,
        repeated=built.repeated,
        several_pages=built.several_pages,
        needs=needs,
    )


def _written(source: WordSource, built: Built) -> WordSource:
    """Return the samples of `source` that were written."""
    if not built.left_out:
        return source
    left_out = {problem.index for problem in built.left_out}
    kept = [index for index in range(len(source)) if index not in left_out]
    return SelectedWords(source, kept, [source.labels[index] for index in kept])


def training_needs(path: Path, words: WordSource) -> TrainingNeeds:
    """Compare the labels of `words`, written to the LMDB `path`, with the default architecture; see TrainingNeeds."""
    spec = get_spec(DEFAULT_ARCH)
    policy = LabelPolicy(spec, Charset.load(spec.default_charset))
    report = check_labels(words, policy.charset, spec)
    fix = data_fix([CheckedSource(str(path), words, report, splits=True)], policy) if len(words) > 1 else None
    return TrainingNeeds(
        arch=spec.name,
        fit=len(report.kept),
        outside=report.unknown_chars,
        too_long=report.problems[LONG] + report.problems[STEPS],
        longest=report.longest,
        longest_fitting=longest_label(spec),
        scripts=scripts(report.characters),
        command=None if fix is None else fix.command(["train", "-d", str(path)]),
    )


def verify_lmdb(path: Path, jobs: int | None = None, progress: Progress = lambda done, total: None) -> VerifyReport:
    """Verify an LMDB. Raises InputError when `path` is not an LMDB or is truncated."""
    start = time.perf_counter()
    verified = verify(path, jobs=jobs or available_cores(), progress=progress)
    return VerifyReport(
        path=path,
        ok=not verified.faults,
        samples=verified.samples,
        images=verified.images,
        labels=verified.labels,
        bytes=_size(path),
        seconds=time.perf_counter() - start,
        faults=[{"sample": number, "reason": reason} for number, reason in verified.faults],
    )


def describe_lmdb(path: Path) -> InfoReport:
    """Return the statistics of an LMDB. Raises InputError when `path` is not an LMDB or has no samples."""
    words = LmdbWords(path)
    if not len(words):
        raise InputError(f"{path}: num-samples is 0.")
    return InfoReport(path, _size(path), label_stats(words.labels))


def _size(path: Path) -> int:
    file = data_file(path)
    return os.path.getsize(file) if file else 0


def _kind(reason: str) -> str:
    """Return the kind of a reason, without numbers and names, to count by."""
    for prefix, kind in _KINDS.items():
        if reason.startswith(prefix):
            return kind
    return reason


_KINDS = {
    "the label is empty": "empty label",
    "the label has": "label too long",
    "the label holds": "control character or invalid text in the label",
    "the image file is empty": "image empty or cut off",
    "the JPEG is cut off": "image empty or cut off",
    "the PNG is cut off": "image empty or cut off",
    "the WebP is cut off": "image empty or cut off",
    "the JPEG is damaged": "image damaged",
    "the image cannot be decoded": "image cannot be decoded",
    "the image": "image missing or unreadable",
}
