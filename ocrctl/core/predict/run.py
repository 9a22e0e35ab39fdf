"""Run models over any number of images, in order, skipping unreadable ones: recognise words, detect text, or both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ocrctl.core.predict.models import Models, load_models
from ocrctl.core.predict.read import Result, Task, TaskResult, WordTask
from ocrctl.data.images.decode import decode
from ocrctl.errors import InputError, UsageError
from ocrctl.files.atomic import PartFile
from ocrctl.files.folder import shared_folder
from ocrctl.inference.decoding import Decoding
from ocrctl.inference.inputs import ImageInput, Skipped, input_root, is_lmdb, is_one_image, iter_images
from ocrctl.inference.prefetch import batches, default_jobs, map_ahead
from ocrctl.inference.writers import page_formats, word_formats
from ocrctl.inference.writers.prediction import PagePrediction, Unreadable
from ocrctl.inference.writers.select import check_format, check_guard, format_for, line_writer

if TYPE_CHECKING:
    from ocrctl.core.predict.explain_files import ExplainFiles
    from ocrctl.core.predict.page_outputs import PageFiles

MIN_PREDICTIONS = 5  # below which empty texts are no evidence of a broken model
WORD_HEIGHT, WORD_WIDTH = 100, 640  # pixels; 87 to 95 % of the word images of three public datasets are smaller
# Pixels of the shorter side, and the largest ratio of the sides: at most 0.4 % of the word images of four public
# datasets are so large, and all images of two datasets of pages (docs/reference/predict.md).
PAGE_SIDE, PAGE_RATIO = 400, 4
Emit = Callable[[Result], None]


@dataclass(frozen=True)
class PredictOptions:
    """Options of `predict`: one model, or a detector and a recogniser in either order, or none for the default models;
    `format` None is the default;
    `batch_size` in images, None: 64 words, 1 page; `jobs` threads decode ahead (None: `default_jobs`, for one image 0),
    `threads` are those of the models, `decoding` is the recogniser's, as in Engine.load; `polygons`: polygons instead
    of quads on pages; `guard`: escape spreadsheet formulas; `characters`: also the confidence and position of each
    character; `explain`: draw what the recogniser attended to into `out`/explain."""

    models: Sequence[str]
    inputs: list[str]
    format: str | None = None
    out: Path | None = None
    device: str = "auto"
    batch_size: int | None = None
    jobs: int | None = None
    threads: int | None = None
    decoding: str | Decoding | None = None
    polygons: bool = False
    guard: bool = False
    characters: bool = False
    explain: bool = False


@dataclass(frozen=True)
class PredictReport:
    """Result of `predict`: counts (`boxes` of a detector, `words` of them with a text), unreadable inputs, seconds for
    inference and for loading; `recogniser` beside a detector; `lost` counts what the format cannot represent, by
    sentence; `skipped` are files of folders that are not images, `skipped_note` is the sentence about them;
    `word_sized` counts the pages that are as small as word images, `page_sized` the word images as large as pages;
    `nothing`: why a recogniser probably reads nothing,
    "" otherwise; `explained`: the folder of explanations."""

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
    word_sized: int = 0
    page_sized: int = 0
    nothing: str = ""
    explained: Path | None = None


@dataclass
class _Counts:
    read: int = 0
    boxes: int = 0
    words: int = 0
    texts: int = 0  # read by a recogniser
    empty: int = 0  # of them
    word_sized: int = 0
    page_sized: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)


def predict(options: PredictOptions, stdin: BinaryIO | None, emit: Emit) -> PredictReport:
    """Process every image of `options.inputs`; results go to `emit` and, with `out`, to `out`/predictions.*.

    An unreadable image is emitted as Unreadable, counted and skipped; if all are unreadable, an older file is kept.
    `stdin` is binary. Raises UsageError for an unknown format or device, a format of the other task, an LMDB whose
    images the format cannot name, and an `out` that another process writes, InputError for an invalid model or an `out`
    that cannot be written, MissingRequirement when CUDA is requested but missing. An interruption leaves
    predictions.*.part with every line written so far.
    """
    check_format(options.format, to_folder=options.out is not None)
    if options.explain and options.out is None:
        raise UsageError("--explain draws an image for each input; name a folder for them with -o DIR.")
    if options.format == word_formats.REC_GT.name:
        _check_no_lmdb(options)
    with shared_folder(options.out) if options.out is not None else nullcontext():
        return _predict(options, stdin, emit)


def _predict(options: PredictOptions, stdin: BinaryIO | None, emit: Emit) -> PredictReport:
    start = time.perf_counter()
    models = load_models(options.models, options.device, options.threads, options.decoding, options.explain)
    detects, reads = models.detector is not None, models.recogniser is not None
    name = format_for(options.format, detects, options.out is not None)
    if name == page_formats.TEXT.name and not reads:
        raise UsageError(
            f"--format {name} requires a recogniser beside {models.first.path}.",
            hint="-m DETECTOR -m RECOGNISER reads pages; without -m the default models do",
        )
    if options.guard:
        check_guard(name)
    if options.polygons and not detects:
        raise UsageError(f"--polygons requires a detector; {models.first.path} is a recogniser.")
    files = _page_files(name, options.out, options.inputs) if detects and options.out is not None else None
    sheets = _explain_files(options.out, options.polygons) if options.explain and options.out is not None else None
    files_only = name == word_formats.REC_GT.name or (files is not None and files.copies)
    if files_only:
        _check_no_lmdb(options)
    size = options.batch_size or (1 if detects else 64)
    if options.characters:
        _check_characters(name, models)
    keep_images = options.explain or (files is not None and files.draws)
    task = _task(models, options.polygons, keep_images, size, options.characters)
    size = size if detects else models.first.chunk_size(size)
    jobs = options.jobs
    if jobs is None:  # nothing to decode ahead of one image
        jobs = 0 if is_one_image(options.inputs) else default_jobs()
    skipped = Skipped()
    todo = batches(iter_images(options.inputs, stdin, files_only=files_only, skipped=skipped), size)
    loaded = time.perf_counter()
    counts = _Counts()
    target: Path | None = None
    if options.out is None:
        _run(task, todo, jobs, counts, lambda item: emit(item.result))
    else:
        folder, writer = options.out, line_writer(name, detects, reads, options.guard)
        target = folder / f"predictions{writer.suffix}"
        with files or nullcontext(), sheets or nullcontext():
            with PartFile(target) as file:
                if writer.header:
                    file.write(writer.header)

                def record(item: TaskResult) -> None:
                    if not isinstance(item.result, Unreadable):
                        lines = writer.line(item.result, folder)
                        if files is not None and isinstance(item.result, PagePrediction):
                            files.add(item.result, item.image)
                        if sheets is not None:
                            sheets.add(item)
                        file.write(lines)
                    emit(item.result)

                _run(task, todo, jobs, counts, record)
                if counts.read == 0:
                    file.discard()
            if sheets is not None and counts.read:
                sheets.publish()
            if files is not None and counts.read:
                files.finish()  # last: the command cannot be repeated once the folder exists
                target = files.path or target
    seconds = time.perf_counter() - loaded
    return PredictReport(
        model=str(models.first.path),
        backend=models.of_each("backend"),
        device=models.of_each("device"),
        note=models.of_each("note"),
        read=counts.read,
        unreadable=counts.unreadable,
        seconds=seconds,
        load_seconds=loaded - start,
        images_per_second=counts.read / seconds if seconds > 0 else 0.0,
        out=target if counts.read else None,
        boxes=counts.boxes if detects else None,
        recogniser=str(models.recogniser.path) if models.detector and models.recogniser else None,
        words=counts.words if detects and reads else None,
        lost=files.lost if files is not None else {},
        skipped=skipped.paths,
        skipped_note=skipped.summary(),
        word_sized=counts.word_sized,
        page_sized=counts.page_sized,
        explained=sheets.path if sheets is not None and counts.read else None,
        nothing=f"all {counts.texts:,} texts are empty" if counts.texts == counts.empty >= MIN_PREDICTIONS else "",
    )


def _page_files(name: str, out: Path, inputs: Sequence[str]) -> PageFiles:
    from ocrctl.core.predict.page_outputs import PageFiles  # with all formats and shapely, which words do not need

    return PageFiles(name, out, input_root(inputs))


def _explain_files(out: Path, polygons: bool) -> ExplainFiles:
    from ocrctl.core.predict.explain_files import ExplainFiles  # which nothing else needs

    return ExplainFiles(out, polygons)


def _check_no_lmdb(options: PredictOptions) -> None:
    for text in options.inputs:
        if is_lmdb(text):
            raise UsageError(
                f"{text}: --format {options.format} requires image files, not an LMDB.", hint="use --format jsonl"
            )


def _check_characters(name: str, models: Models) -> None:
    if models.recogniser is None:
        raise UsageError(f"--characters requires a recogniser; {models.first.path} is a detector.")
    known = [word_formats.JSONL.name] if models.detector is None else [page_formats.JSONL.name, "overlay"]
    if name not in known:
        raise UsageError(f"--characters requires --format {' or '.join(known)}, not {name}.")


def _task(models: Models, polygons: bool, keep_images: bool, batch_size: int, characters: bool) -> Task:
    if models.detector is None:
        return WordTask(models.first, batch_size, characters)
    from ocrctl.core.predict.read_pages import PageReader, PageTask  # with shapely, which words do not need

    reader = PageReader(models.detector, models.recogniser) if models.recogniser else None
    return PageTask(models.detector, reader, polygons, keep_images, characters)


def _run(
    task: Task, todo: Iterator[list[ImageInput] | None], jobs: int, counts: _Counts, take: Callable[[TaskResult], None]
) -> None:
    def load(chunk: list[ImageInput]) -> list[tuple[ImageInput, Any | InputError]]:
        return [(source, _load(task, source)) for source in chunk]

    for chunk in map_ahead(load, todo, jobs):
        given_paths = [(source.path, given) for source, given in chunk if not isinstance(given, InputError)]
        results = iter(task.read(given_paths))
        for source, given in chunk:
            path = source.path
            item = TaskResult(Unreadable(path, given.message)) if isinstance(given, InputError) else next(results)
            if source.page is not None and not isinstance(item.result, Unreadable):
                item = replace(item, result=replace(item.result, page=source.page))
            try:
                take(item)
            except InputError as error:  # the format cannot represent this path
                item = TaskResult(Unreadable(path, error.message))
                take(item)
            if isinstance(item.result, Unreadable):
                counts.unreadable.append(item.result)
            else:
                counts.read += 1
                if isinstance(item.result, PagePrediction):
                    read = [word.text for word in item.result.words or ()]
                    counts.boxes += len(item.result.found)
                    height, width = item.result.size
                    counts.word_sized += height <= WORD_HEIGHT and width <= WORD_WIDTH
                    counts.words += sum(text != "" for text in read)
                else:
                    read = [item.result.text]
                    short, long = sorted(item.size or (0, 0))
                    counts.page_sized += short >= PAGE_SIDE and long <= PAGE_RATIO * short
                counts.texts += len(read)
                counts.empty += read.count("")


def _load(task: Task, source: ImageInput) -> Any | InputError:
    try:
        return task.prepare(decode(source.encoded(), source.path))
    except InputError as error:
        return error
