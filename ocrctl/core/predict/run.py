"""What any number of pictures say, in order, and past bad ones: words read, text found on pages, or both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from ocrctl.core.predict.models import Models, load_models
from ocrctl.core.predict.page_outputs import PageFiles
from ocrctl.core.predict.read import PageTask, Result, Shown, Task, WordTask
from ocrctl.data.images.decode import decode
from ocrctl.errors import InputError, UsageError
from ocrctl.files.atomic import PartFile
from ocrctl.files.folder import shared_folder
from ocrctl.inference.inputs import ImageInput, Skipped, input_root, is_lmdb, pictures
from ocrctl.inference.prefetch import batches, default_jobs, map_ahead
from ocrctl.inference.reader import PageReader
from ocrctl.inference.writers import words
from ocrctl.inference.writers.choose import check_format, check_guard, format_for, line_writer
from ocrctl.inference.writers.prediction import PagePrediction, Unreadable

Emit = Callable[[Result], None]


@dataclass(frozen=True)
class PredictOptions:
    """What to read with what: one model, or a detector and a recogniser in either order; `format` None is the usual
    one; `batch_size` of pictures, None: 64 words, 1 page; `jobs` threads decode ahead (None: `default_jobs`), `threads`
    are the models' own, `decoding` as in Engine.load, the recogniser's; `polygons`: outlines of any form on pages;
    `guard`: no spreadsheet takes a cell for a formula."""

    models: Sequence[str]
    inputs: list[str]
    format: str | None = None
    out: Path | None = None
    device: str = "auto"
    batch_size: int | None = None
    jobs: int | None = None
    threads: int | None = None
    decoding: str | None = None
    polygons: bool = False
    guard: bool = False


@dataclass(frozen=True)
class PredictReport:
    """What was done: counts (`boxes` of a detector, `words` those of them with a text), the unreadable inputs, seconds
    without and with loading the models; `recogniser` beside a detector; `lost` is what the format cannot hold: sentence
    to count; `skipped` are the files of folders that are no images, `skipped_note` says so in a sentence."""

    model: str
    backend: str
    device: str
    note: str
    read: int
    unreadable: list[Unreadable]
    seconds: float
    load_seconds: float
    images_per_second: float
    out: Path | None = None
    boxes: int | None = None
    recogniser: str | None = None
    words: int | None = None
    lost: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    skipped_note: str = ""


@dataclass
class _Tally:
    read: int = 0
    boxes: int = 0
    words: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)


def predict(options: PredictOptions, stdin: BinaryIO | None, emit: Emit) -> PredictReport:
    """Read every picture of `options.inputs`; each result goes to `emit` and, with `out`, to `out`/predictions.*.

    A picture that cannot be read is emitted as Unreadable, counted, and does not stop the rest; when none can, an
    earlier file stays. `stdin` is read in bytes. Raises UsageError for an unknown format or device, a format of the
    other task, an LMDB whose pictures the format cannot name, and an `out` that another process writes, InputError for
    a model that is none or an `out` that cannot be written, MissingRequirement when CUDA was asked for and is not
    there. Interrupted, it leaves predictions.*.part with every line written so far.
    """
    check_format(options.format, to_folder=options.out is not None)
    if options.format == words.REC_GT.name:
        _refuse_lmdb(options)
    with shared_folder(options.out) if options.out is not None else nullcontext():
        return _predict(options, stdin, emit)


def _predict(options: PredictOptions, stdin: BinaryIO | None, emit: Emit) -> PredictReport:
    start = time.perf_counter()
    models = load_models(options.models, options.device, options.threads, options.decoding)
    detects, reads = models.detector is not None, models.recogniser is not None
    name = format_for(options.format, detects, options.out is not None)
    if options.guard:
        check_guard(name)
    if options.polygons and not detects:
        raise UsageError(f"--polygons is of pages; {models.first.path} reads words.")
    files = PageFiles(name, options.out, input_root(options.inputs)) if detects and options.out is not None else None
    files_only = name == words.REC_GT.name or (files is not None and files.copies)
    if files_only:
        _refuse_lmdb(options)
    task = _task(models, options.polygons, files is not None and files.draws)
    size = options.batch_size or (1 if detects else 64)
    jobs = default_jobs() if options.jobs is None else options.jobs
    skipped = Skipped()
    todo = batches(pictures(options.inputs, stdin, files_only=files_only, skipped=skipped), size)
    loaded = time.perf_counter()
    tally = _Tally()
    target: Path | None = None
    if options.out is None:
        _run(task, todo, jobs, tally, lambda shown: emit(shown.result))
    else:
        folder, writer = options.out, line_writer(name, detects, reads, options.guard)
        target = folder / f"predictions{writer.suffix}"
        with files or nullcontext():
            with PartFile(target) as file:
                if writer.header:
                    file.write(writer.header)

                def record(shown: Shown) -> None:
                    if not isinstance(shown.result, Unreadable):
                        lines = writer.line(shown.result, folder)
                        if files is not None and isinstance(shown.result, PagePrediction):
                            files.add(shown.result, shown.image)
                        file.write(lines)
                    emit(shown.result)

                _run(task, todo, jobs, tally, record)
                if tally.read == 0:
                    file.discard()
            if files is not None and tally.read:
                files.finish()  # last: once its folder is there, running the command again is refused
                target = files.place or target
    seconds = time.perf_counter() - loaded
    return PredictReport(
        model=str(models.first.path),
        backend=models.of_each("backend"),
        device=models.of_each("device"),
        note=models.of_each("note"),
        read=tally.read,
        unreadable=tally.unreadable,
        seconds=seconds,
        load_seconds=loaded - start,
        images_per_second=tally.read / seconds if seconds > 0 else 0.0,
        out=target if tally.read else None,
        boxes=tally.boxes if detects else None,
        recogniser=str(models.recogniser.path) if models.detector and models.recogniser else None,
        words=tally.words if detects and reads else None,
        lost=files.lost if files is not None else {},
        skipped=skipped.paths,
        skipped_note=skipped.summary(),
    )


def _refuse_lmdb(options: PredictOptions) -> None:
    for text in options.inputs:
        if is_lmdb(text):
            raise UsageError(
                f"{text}: {options.format} names files and the pictures of an LMDB are none; use --format jsonl."
            )


def _task(models: Models, polygons: bool, keep_images: bool) -> Task:
    if models.detector is None:
        return WordTask(models.first)
    reader = PageReader(models.detector, models.recogniser) if models.recogniser else None
    return PageTask(models.detector, reader, polygons, keep_images)


def _run(
    task: Task, todo: Iterator[list[ImageInput] | None], jobs: int, tally: _Tally, take: Callable[[Shown], None]
) -> None:
    def load(chunk: list[ImageInput]) -> list[tuple[ImageInput, Any | InputError]]:
        return [(picture, _load(task, picture)) for picture in chunk]

    for chunk in map_ahead(load, todo, jobs):
        given_paths = [(picture.path, given) for picture, given in chunk if not isinstance(given, InputError)]
        results = iter(task.read(given_paths))
        for picture, given in chunk:
            path = picture.path
            shown = Shown(Unreadable(path, given.message)) if isinstance(given, InputError) else next(results)
            if picture.page is not None and not isinstance(shown.result, Unreadable):
                shown = replace(shown, result=replace(shown.result, page=picture.page))
            try:
                take(shown)
            except InputError as error:  # the chosen format cannot hold this path
                shown = Shown(Unreadable(path, error.message))
                take(shown)
            if isinstance(shown.result, Unreadable):
                tally.unreadable.append(shown.result)
            else:
                tally.read += 1
                if isinstance(shown.result, PagePrediction):
                    tally.boxes += len(shown.result.found)
                    tally.words += sum(word.text != "" for word in shown.result.words or ())


def _load(task: Task, picture: ImageInput) -> Any | InputError:
    try:
        return task.prepare(decode(picture.encoded(), picture.path))
    except InputError as error:
        return error
