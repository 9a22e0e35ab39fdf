"""Read the text of any number of pictures with one model, in order, and keep going past bad ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.images import decode
from ocrctl.errors import InputError, UsageError
from ocrctl.inference.engine import Engine
from ocrctl.inference.inputs import Picture, is_lmdb, pictures
from ocrctl.inference.prefetch import batches, default_jobs, map_ahead
from ocrctl.inference.writers import rec_gt
from ocrctl.inference.writers.choose import get_writer
from ocrctl.inference.writers.files import PartFile
from ocrctl.inference.writers.prediction import Prediction, Unreadable

Emit = Callable[[Prediction | Unreadable], None]


@dataclass(frozen=True)
class PredictOptions:
    """What to read with what; `jobs` threads decode ahead (None: `default_jobs`), `threads` is the model's own,
    `decoding` as in Engine.load."""

    model: str
    inputs: list[str]
    format: str = "tsv"
    out: Path | None = None
    device: str = "auto"
    batch_size: int = 64
    jobs: int | None = None
    threads: int | None = None
    decoding: str | None = None


@dataclass(frozen=True)
class PredictReport:
    """What was done: counts, the unreadable inputs, seconds without and with loading the model."""

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


@dataclass
class _Tally:
    read: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)


def predict(options: PredictOptions, stdin: BinaryIO | None, emit: Emit) -> PredictReport:
    """Read every picture of `options.inputs`; each result goes to `emit` and, with `out`, to `out`/predictions.*.

    A picture that cannot be read is emitted as Unreadable, counted, and does not stop the rest; when none can, an
    earlier file stays. `stdin` is read in bytes. Raises UsageError for an unknown format or device and for an LMDB
    whose pictures rec_gt cannot name, InputError for a model that is none or an `out` that cannot be written,
    MissingRequirement when CUDA was asked for and is not there. Interrupted, it leaves predictions.*.part with every
    line written so far.
    """
    writer = get_writer(options.format)
    for text in options.inputs if writer.NAME == rec_gt.NAME else ():
        if is_lmdb(text):
            raise UsageError(f"{text}: rec_gt names files and the pictures of an LMDB are none; use --format jsonl.")
    start = time.perf_counter()
    engine = Engine.load(options.model, options.device, options.threads, options.decoding)
    loaded = time.perf_counter()
    tally = _Tally()
    target: Path | None = None
    if options.out is None:
        _run(engine, options, stdin, tally, emit)
    else:
        folder = options.out
        target = folder / f"predictions{writer.SUFFIX}"
        with PartFile(target) as file:
            if writer.HEADER:
                file.write(writer.HEADER)

            def record(result: Prediction | Unreadable) -> None:
                if isinstance(result, Prediction):
                    file.write(writer.line(result, folder))
                emit(result)

            _run(engine, options, stdin, tally, record)
            if tally.read == 0:
                file.discard()
    seconds = time.perf_counter() - loaded
    return PredictReport(
        model=str(engine.path),
        backend=engine.backend,
        device=engine.device,
        note=engine.note,
        read=tally.read,
        unreadable=tally.unreadable,
        seconds=seconds,
        load_seconds=loaded - start,
        images_per_second=tally.read / seconds if seconds > 0 else 0.0,
        out=target if tally.read else None,
    )


def _run(engine: Engine, options: PredictOptions, stdin: BinaryIO | None, tally: _Tally, emit: Emit) -> None:
    def load(chunk: list[Picture]) -> list[tuple[str, NDArray[np.uint8] | InputError]]:
        return [(picture.path, _load(engine, picture)) for picture in chunk]

    todo = batches(pictures(options.inputs, stdin, files_only=options.format == rec_gt.NAME), options.batch_size)
    for chunk in map_ahead(load, todo, default_jobs() if options.jobs is None else options.jobs):
        good = [image for _, image in chunk if not isinstance(image, InputError)]
        texts = iter(engine.recognize_prepared(np.stack(good)) if good else [])
        for path, image in chunk:
            result: Prediction | Unreadable
            if isinstance(image, InputError):
                result = Unreadable(path, image.message)
            else:
                recognition = next(texts)
                result = Prediction(path, recognition.text, recognition.confidence)
            try:
                emit(result)
            except InputError as error:  # the chosen format cannot hold this path
                result = Unreadable(path, error.message)
                emit(result)
            if isinstance(result, Unreadable):
                tally.unreadable.append(result)
            else:
                tally.read += 1


def _load(engine: Engine, picture: Picture) -> NDArray[np.uint8] | InputError:
    try:
        return engine.prepare(decode(picture.encoded(), picture.path))
    except InputError as error:
        return error
