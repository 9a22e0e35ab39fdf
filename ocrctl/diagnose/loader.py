"""Check that forked and spawned loader processes read the same samples as this process."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.config.settings import DataSettings, TrainSettings
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.datasets.loader import training_loader
from ocrctl.data.images.decode import decode
from ocrctl.data.images.resize_word import resize_word
from ocrctl.data.lmdb import reader as lmdb
from ocrctl.data.lmdb.reader import LmdbWords
from ocrctl.diagnose.checks import Check, fail, ok, skipped, warn
from ocrctl.errors import InputError
from ocrctl.models.registry import DEFAULT_ARCH, get_spec

PREFETCH = 4  # batches that each loader process prepares ahead (data.loader)
SAMPLES = 128  # samples of the data set that are compared, spread over it
PAGES = 12  # the same, where they are pages
PAGE_SIDE = 640  # pixels of a training page, the default of page.height and page.width
ROUND = 2.0  # seconds for which the throughput is measured, each way
PATIENCE = 60.0  # seconds without a batch after which a loader process hangs
SLOW = 0.5  # share of the rate without loader processes below which they cost more than they give
METHODS = ("fork", "spawn")


@dataclass(frozen=True)
class LoaderBatch:
    """N samples as a loader process hands them over."""

    images: NDArray[np.uint8]  # (N, H, W, C)
    checksums: NDArray[np.int64]  # (N,) CRC-32 of each resized image, computed where it was read
    process: NDArray[np.int64]  # (2,) id of the process, and LMDB files it held before its first read


class Samples:
    """Images of a data set by number, resized to what the default models train on, over and over."""

    def __init__(self, data: Annotations, chosen: Sequence[int]) -> None:
        self._data, self._chosen = data, chosen
        self._held: int | None = None  # LMDB files before the first read of this process

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_held": None}

    def __len__(self) -> int:
        return len(self._chosen)

    def sample(self, number: int) -> NDArray[np.uint8]:
        """Return the image (H, W, C). Raises InputError naming it when it cannot be read."""
        index = self._chosen[number % len(self._chosen)]
        image = decode(self._data.image_bytes(index), self._data.image_where(index))
        if self._data.words is None:
            return np.asarray(cv2.resize(image, (PAGE_SIDE, PAGE_SIDE), interpolation=cv2.INTER_AREA), np.uint8)
        spec = get_spec(DEFAULT_ARCH)
        return resize_word(image, spec.input_height, spec.input_width, spec.channels)

    def __getitems__(self, numbers: Sequence[int]) -> LoaderBatch | InputError:
        """The samples as one batch, or the error of the first that cannot be read."""
        if self._held is None:
            self._held = lmdb.open_count()
        try:
            images = np.stack([self.sample(number) for number in numbers])
        except InputError as error:
            return error
        checksums = np.array([crc32(image.tobytes()) for image in images], np.int64)
        return LoaderBatch(images, checksums, np.array([os.getpid(), self._held], np.int64))


def diagnose_loader(
    data: Annotations, shared_memory: tuple[int, int] | None, *, workers: int = 2, patience: float = PATIENCE
) -> list[Check]:
    """Check the loading of `data`; `shared_memory` is (free, total) bytes of /dev/shm, None where there is none.

    Call it before anything touches CUDA: a process that has initialised it must not fork loader processes.
    """
    limit = SAMPLES if data.words is not None else PAGES
    chosen = np.unique(np.linspace(0, len(data.images) - 1, min(limit, len(data.images))).astype(int)).tolist()
    samples = Samples(data, chosen)
    batch_size = min(TrainSettings().batch_size, max(1, len(chosen) // (2 * workers)))
    start = time.perf_counter()
    try:
        images = [samples.sample(number) for number in range(len(chosen))]  # opens the LMDB here, before any fork
    except InputError as error:
        return [fail("loader samples", error.message, f"ocrctl dataset validate {data.name} lists what is damaged")]
    alone = len(images) / (time.perf_counter() - start)
    expected = [crc32(image.tobytes()) for image in images]
    rows = [
        ok("loader samples", f"{len(images)} of {len(data.images):,} from {data.name} ({data.format}) are readable")
    ]
    held: dict[int, int] = {}
    for method in METHODS:
        rows.append(_compare(samples, expected, method, workers, batch_size, patience, held))
    rows.append(_handles(data, samples, expected, held))
    rows.append(_shared_memory(images[0].nbytes, shared_memory, DataSettings().workers))
    rows.append(_throughput(samples, workers, batch_size, alone, patience))
    return rows


def _compare(
    samples: Samples, expected: list[int], method: str, workers: int, batch_size: int, patience: float,
    held: dict[int, int],
) -> Check:  # fmt: skip
    """Every sample through loader processes started by `method`; adds to `held` what each process reports."""
    name = f"loader {method}"
    if method not in multiprocessing.get_all_start_methods():
        return skipped(name, f"this system cannot {method}")
    start = time.perf_counter()
    try:
        loader = training_loader(samples, batch_size=batch_size, start=0, workers=workers, start_method=method)
        try:
            number, pids = 0, set()
            while number < len(expected):
                batch = _next(loader, patience)
                pid, environments = batch["process"].tolist()
                pids.add(pid)
                held[pid] = environments
                for image, checksum in zip(batch["images"], batch["checksums"].tolist(), strict=True):
                    want = expected[number % len(expected)]
                    here = crc32(image.permute(1, 2, 0).contiguous().numpy().tobytes())
                    if checksum != want or here != want:
                        return fail(
                            name,
                            f"sample {number % len(expected) + 1} differs from what this process reads",
                            "the storage or a format plug-in shares an open file between processes: "
                            "open files on first use, in the process that reads",
                        )
                    number += 1
        finally:
            loader.close()
    except queue.Empty:
        return fail(
            name,
            f"no batch in {patience:g} s: a loader process hangs",
            f"--set data.start_method={'spawn' if method == 'fork' else 'fork'}, or --set data.workers=0",
        )
    except Exception as error:  # whatever ends a loader process is the finding itself
        return fail(
            name, _line(error), "--set data.workers=0 trains without loader processes; ocrctl diagnose environment"
        )
    seconds = time.perf_counter() - start
    return ok(name, f"{len(expected)} samples from {len(pids)} processes equal those of this one, {seconds:.1f} s")


def _next(loader: Any, patience: float) -> dict[str, Any]:
    """The next batch. Raises queue.Empty after `patience` seconds, and what the loader raises."""
    answers: queue.Queue[Any] = queue.Queue()

    def take() -> None:
        try:
            answers.put(next(loader))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=take, name="loader-check", daemon=True).start()
    batch = answers.get(timeout=patience)
    if isinstance(batch, Exception):
        raise batch
    return dict(batch)


def _handles(data: Annotations, samples: Samples, expected: list[int], held: dict[int, int]) -> Check:
    """No loader process may start with an LMDB environment of its parent, and the parent's must outlive them."""
    name = "loader LMDB handles"
    if not isinstance(data.words, LmdbWords):
        return skipped(name, f"{data.name} is no LMDB")
    if not held:
        return skipped(name, "no loader process answered")
    fix = "open the LMDB on first use in each process; report this with `ocrctl diagnose environment`"
    inherited = [pid for pid, count in held.items() if count]
    if inherited:
        return fail(name, f"{len(inherited)} of {len(held)} loader processes inherited an open environment", fix)
    if crc32(samples.sample(0).tobytes()) != expected[0]:
        return fail(name, "this process reads other data since its loader processes ran", fix)
    return ok(name, f"each of {len(held)} loader processes opened its own; this one's still reads")


def _shared_memory(sample_bytes: int, memory: tuple[int, int] | None, workers: int) -> Check:
    """Room in /dev/shm for what the loader processes of a default training hold ready."""
    name = "loader shared memory"
    if memory is None:
        return skipped(name, "no /dev/shm here")
    batch = TrainSettings().batch_size
    need, free = sample_bytes * batch * PREFETCH * workers, memory[0]
    seen = (
        f"{workers} workers x {PREFETCH} batches x {batch} samples need {need / 2**20:.0f} MiB, "
        f"{free / 2**20:.0f} of {memory[1] / 2**20:.0f} MiB free in /dev/shm"
    )
    fix = "start the container with --shm-size=1g or --ipc=host, or lower train.batch_size or data.workers"
    if free < need:
        return fail(name, seen, fix)
    return warn(name, seen, fix) if free < 2 * need else ok(name, seen)


def _throughput(samples: Samples, workers: int, batch_size: int, alone: float, patience: float) -> Check:
    name = "loader throughput"
    try:
        loader = training_loader(samples, batch_size=batch_size, start=0, workers=workers)
        try:
            _next(loader, patience)  # the processes have started
            count, start = 0, time.perf_counter()
            while (seconds := time.perf_counter() - start) < ROUND:
                count += len(_next(loader, patience)["checksums"])
        finally:
            loader.close()
    except Exception as error:  # the rows above have it as their finding
        return skipped(name, f"the loader processes deliver nothing: {_line(error)}")
    rate = count / seconds
    seen = f"{rate:,.0f} samples/s from {workers} loader processes, {alone:,.0f}/s in this one"
    if rate < SLOW * alone:
        return warn(name, seen, "the cores are busy or few: --set data.workers=0")
    return ok(name, seen)


def _line(error: Exception) -> str:
    """Return the first line of the message of an exception."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
