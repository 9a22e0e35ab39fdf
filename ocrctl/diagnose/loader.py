"""Check that forked and spawned loader processes read the same samples as this process."""

from __future__ import annotations

import multiprocessing
import os
import queue
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from ocrctl.config.settings import DataSettings, TrainSettings
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.datasets.loader import training_loader
from ocrctl.data.images.decode import decode
from ocrctl.data.images.resize_word import resize_word
from ocrctl.data.lmdb import reader as lmdb
from ocrctl.data.lmdb.reader import LmdbWords
from ocrctl.diagnose.checks import Check, fail, first_line, ok, skipped, warn, with_examined
from ocrctl.errors import InputError, counted
from ocrctl.models.registry import DEFAULT_ARCH, get_spec

PREFETCH = 4  # batches that each loader process prepares ahead (data.loader)
SAMPLES = 128  # samples of the data set that are compared, spread over it
PAGES = 12  # the same, where they are pages
PAGE_SIDE = 640  # pixels of a training page, the default of page.height and page.width
PATIENCE = 60.0  # seconds without a batch after which a loader process hangs
STARTING = 3  # times as long until a process that imports everything anew has its first batch
SLOTS = 64  # loader processes whose sample is noted
METHODS = ("fork", "spawn", "forkserver")
FILES_PER_BATCH = 5  # tensors of a batch, each handed over as an open file
FILES_HELD = 64  # open files of a training process beside its batches: libraries, logs, checkpoints
HANDLES = "two processes use one LMDB environment: segmentation faults, or images of another sample"
EXAMINED = {
    "loader samples": "samples spread over the dataset, read and decoded in this process",
    "loader fork": "the same samples through forked processes, by checksum",
    "loader spawn": "the same samples through spawned processes, by checksum",
    "loader forkserver": "the same samples through processes of a fork server, by checksum",
    "loader LMDB handles": "LMDB environments that a loader process holds before its first read",
    "loader shared memory": "free space of /dev/shm against the batches that loader processes hold ready",
    "loader open files": "the limit of open files against the batches that loader processes hold ready",
}


@dataclass(frozen=True)
class LoaderBatch:
    """N samples as a loader process hands them over."""

    images: NDArray[np.uint8]  # (N, H, W, C)
    checksums: NDArray[np.int64]  # (N,) CRC-32 of each resized image, computed where it was read
    process: NDArray[np.int64]  # (2,) id of the process, and LMDB files it held before its first read


class Samples:
    """Images of a data set by number, resized to what the default models train on, over and over."""

    def __init__(self, data: Annotations, chosen: Sequence[int], trace: Path | None = None) -> None:
        """`trace`: a file in which each loader process keeps its id and the sample that it reads."""
        self._data, self._chosen, self._trace = data, chosen, trace
        self._held: int | None = None  # LMDB files before the first read of this process
        self._slots: NDArray[np.int64] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_held": None, "_slots": None}

    def __len__(self) -> int:
        return len(self._chosen)

    def sample(self, number: int) -> NDArray[np.uint8]:
        """Return the image (H, W, C). Raises InputError naming it when it cannot be read."""
        index = self._chosen[number % len(self._chosen)]
        self._note(index)
        image = decode(self._data.image_bytes(index), self._data.image_where(index))
        if self._data.words is None:
            return np.asarray(cv2.resize(image, (PAGE_SIDE, PAGE_SIDE), interpolation=cv2.INTER_AREA), np.uint8)
        spec = get_spec(DEFAULT_ARCH)
        return resize_word(image, spec.input_height, spec.input_width, spec.channels)

    def _note(self, index: int) -> None:
        worker = get_worker_info()
        if self._trace is None or worker is None:
            return
        if self._slots is None:
            self._slots = np.memmap(self._trace, np.int64, "r+", shape=(SLOTS, 2))
        self._slots[worker.id % SLOTS] = os.getpid(), index

    def read_by(self, message: str) -> str:
        """Return `; it was reading` the sample of the process that an error of PyTorch names, that it read none, or
        "" for an error without a process."""
        found = re.search(r"pid(?:\(s\))?:? (\d+)", message)
        if self._trace is None or found is None:
            return ""
        for pid, index in np.fromfile(self._trace, np.int64).reshape(SLOTS, 2).tolist():
            if pid == int(found[1]):
                return f"; it was reading {self._data.image_where(index)}"
        return "; it had not read a sample yet"

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


def check_processes(
    data: Annotations,
    shared_memory: tuple[int, int] | None,
    open_files: int | None = None,
    *,
    batch: int = TrainSettings().batch_size,
    training_workers: int = DataSettings().workers,
    workers: int = 2,
    patience: float = PATIENCE,
    on_check: Callable[[], None] = lambda: None,
) -> list[Check]:
    """Check the loading of `data` by `workers` processes of each start method.

    shared_memory: (free, total) bytes of /dev/shm, None where there is none. open_files: their limit, None without one.
    batch, training_workers: samples of a batch and loader processes of the training. on_check: called after each start
    method.

    Call it before anything touches CUDA: a process that has initialised it must not fork loader processes.
    """
    limit = SAMPLES if data.words is not None else PAGES
    chosen = np.unique(np.linspace(0, len(data.images) - 1, min(limit, len(data.images))).astype(int)).tolist()
    with tempfile.NamedTemporaryFile(prefix="ocrctl-") as trace:
        trace.write(bytes(16 * SLOTS))
        trace.flush()
        samples = Samples(data, chosen, Path(trace.name))
        rows = _rows(samples, data, shared_memory, open_files, batch, training_workers, workers, patience, on_check)
        return list(with_examined(rows, EXAMINED))


def _rows(
    samples: Samples, data: Annotations, shared_memory: tuple[int, int] | None, open_files: int | None, batch: int,
    training_workers: int, workers: int, patience: float, on_check: Callable[[], None],
) -> list[Check]:  # fmt: skip
    batch_size = min(batch, max(1, len(samples) // (2 * workers)))
    try:
        images = [samples.sample(number) for number in range(len(samples))]  # opens the LMDB here, before any fork
    except InputError as error:
        fix = f"ocrctl dataset validate {data.name} lists what is damaged"
        return [fail("loader samples", error.message, fix, "training stops when it draws this sample")]
    expected = [crc32(image.tobytes()) for image in images]
    rows = [
        ok("loader samples", f"{len(images)} of {len(data.images):,} from {data.name} ({data.format}) are readable")
    ]
    inherited: dict[int, int] = {}
    for method in METHODS:
        rows.append(_compare(samples, expected, method, workers, batch_size, patience, inherited))
        on_check()
    rows.append(_handles(data, samples, expected, inherited))
    rows.append(_shared_memory(images[0].nbytes * batch, shared_memory, training_workers, batch))
    rows.append(_open_files(open_files, training_workers))
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
                batch = next_batch(loader, patience * (1 if number or method == "fork" else STARTING))
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
                            "images and labels are mixed up, or the process dies of a segmentation fault",
                        )
                    number += 1
        finally:
            loader.close()
    except queue.Empty:
        return fail(
            name,
            f"no batch in {patience:g} s: a loader process hangs",
            f"--set data.start_method={'spawn' if method == 'fork' else 'fork'}, or --set data.workers=0",
            "training waits for a batch for ever",
        )
    except Exception as error:  # whatever ends a loader process is the finding itself
        return fail(
            name,
            first_line(error).removesuffix(". ").removesuffix(".") + samples.read_by(str(error)),
            "--set data.workers=0 trains without loader processes; ocrctl diagnose environment",
            "training stops when a loader process dies",
        )
    seconds = time.perf_counter() - start
    processes = counted(len(pids), "process", "processes")
    return ok(name, f"{len(expected)} samples from {processes} equal those of this one, {seconds:.1f} s")


def next_batch(loader: Any, patience: float) -> dict[str, Any]:
    """Return the next batch. Raises queue.Empty after `patience` seconds, and what the loader raises."""
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
        return fail(
            name, f"{len(inherited)} of {len(held)} loader processes inherited an open environment", fix, HANDLES
        )
    if crc32(samples.sample(0).tobytes()) != expected[0]:
        return fail(name, "this process reads other data since its loader processes ran", fix, HANDLES)
    return ok(name, f"each of {len(held)} loader processes opened its own; this one's still reads")


def _shared_memory(batch_bytes: int, memory: tuple[int, int] | None, workers: int, batch: int) -> Check:
    """Room in /dev/shm for the batches that the loader processes of a training hold ready."""
    name = "loader shared memory"
    if memory is None:
        return skipped(name, "no /dev/shm here")
    need, free = batch_bytes * PREFETCH * workers, memory[0]
    seen = (
        f"{workers} workers x {PREFETCH} batches x {batch} samples need {need / 2**20:.0f} MiB, "
        f"{free / 2**20:.0f} of {memory[1] / 2**20:.0f} MiB free in /dev/shm"
    )
    fix = "start the container with --shm-size=1g or --ipc=host, or lower train.batch_size or data.workers"
    meaning = "a loader process dies of a bus error when /dev/shm is full"
    if free < need:
        return fail(name, seen, fix, meaning)
    return warn(name, seen, fix, meaning) if free < 2 * need else ok(name, seen)


def _open_files(limit: int | None, workers: int) -> Check:
    """Open files for the batches that the loader processes of a training hold ready."""
    name = "loader open files"
    if limit is None:
        return ok(name, "no limit known")
    need = FILES_PER_BATCH * PREFETCH * workers + FILES_HELD
    seen = f"{workers} workers x {PREFETCH} batches x {FILES_PER_BATCH} tensors need about {need}, the limit is {limit}"
    if limit < need:
        meaning = "training stops with `Too many open files` or `received 0 items of ancdata`"
        return fail(name, seen, "ulimit -n 65536, or lower data.workers", meaning)
    return ok(name, seen)
