"""Load batches in worker processes, in an order that depends only on (seed, position)."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker
from typing import Any, Protocol

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from ocrctl.data.datasets.share import Division, StepSampler
from ocrctl.data.datasets.worker_stacks import WorkerStacks
from ocrctl.errors import OcrctlError, ResumableStop

_PINNED = 5  # seconds in which the pin-memory thread finishes its batch
_GRACE = 60  # seconds in which training saves before a worker that received SIGTERM or SIGHUP ends too


class Batches(Protocol):
    """A stream of samples by draw number: data.recognition.TrainingWords, data.detection.TrainingPages."""

    def __getitems__(self, numbers: Sequence[int]) -> Any:
        """Return the samples `numbers` as one batch, or the OcrctlError of one of them."""


def to_tensors(batch: Any) -> dict[str, Any] | OcrctlError:
    """Convert the arrays of a WordBatch, PageBatch or OutlineBatch to tensors without a copy, also in dictionaries.
    Images become (N, C, H, W) in NHWC memory order, still uint8."""
    if isinstance(batch, OcrctlError):
        return batch
    tensors = {name: _tensors(value) for name, value in vars(batch).items() if value is not None}
    return {**tensors, "images": tensors["images"].permute(0, 3, 1, 2)}


def _tensors(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _tensors(inner) for name, inner in value.items()}
    return torch.from_numpy(value)


def shared_tensors(batch: Any) -> dict[str, Any] | OcrctlError:
    """Convert as `to_tensors`; in a loader process, move the tensors to shared memory immediately.

    In PyTorch's queue thread, a failure to allocate shared memory is only printed and the batch is lost: training would
    wait for it forever. Here it becomes a ResumableStop that is returned instead of the batch.
    """
    tensors = to_tensors(batch)
    if get_worker_info() is None or isinstance(tensors, OcrctlError):
        return tensors
    try:
        _share(tensors)
    except RuntimeError as error:
        if "shared memory" not in str(error):
            raise
        return ResumableStop(
            f"Shared memory (/dev/shm) has no room for a batch: {str(error).splitlines()[0][:200]}",
            hint="enlarge /dev/shm (docker run --shm-size=1g), or add --set data.workers=0",
        )
    return tensors


def _share(value: Any) -> None:
    if isinstance(value, Mapping):
        for inner in value.values():
            _share(inner)
    elif value.untyped_storage().nbytes():
        value.share_memory_()


class WorkerStart:
    """The first call in a loader process."""

    def __init__(self, stacks: WorkerStacks) -> None:
        self._stacks = stacks

    def __call__(self, _: int) -> None:
        start_worker()
        self._stacks.register()


def start_worker() -> None:
    """Use one thread per worker, and leave the signals that reach the whole group (Ctrl-C, SIGTERM, SIGHUP, SIGUSR1) to
    the training process, which saves and then ends its workers. Otherwise SIGTERM and SIGHUP end a worker after _GRACE
    seconds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_GRACE))
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # which `_interrupts_later` blocked
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, lambda *_: signal.alarm(_GRACE))
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Deliver Ctrl-C after the block. Loader processes that are started inside never see it: until `start_worker`
    ignores it, a spawned one would print the traceback of its imports."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # started inside, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@atexit.register
def _end_workers() -> None:
    """Kill remaining workers before multiprocessing terminates them and waits."""
    left = [process for process in multiprocessing.active_children() if process.daemon]
    if left and hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would report a failure
    for process in left:
        process.kill()


class StartedLoader:
    """One pass through an endless loader, whose processes start when this is created and run until `close`.

    Lightning calls iter() twice before it takes the first batch; a DataLoader discards the prepared batches each time,
    this class does not.
    """

    def __init__(self, loader: DataLoader[Any], stacks: WorkerStacks) -> None:
        """`stacks`: where its processes write theirs."""
        self._stacks = stacks
        with _interrupts_later() if loader.num_workers else nullcontext():
            self._batches: Iterator[Any] = iter(loader)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._batches)

    def stacks(self) -> list[tuple[int, str]]:
        """Return process id and Python stacks of each process, in the order of the workers. May be called from any
        thread."""
        processes = list(getattr(self._batches, "_workers", ()))
        return [(process.pid, self._stacks.read(process.pid)) for process in processes]

    def kill(self) -> None:
        """End its processes at once, without any cleanup. May be called from any thread."""
        for process in getattr(self._batches, "_workers", ()):
            process.kill()

    def close(self) -> None:
        """End its processes, whatever they are preparing. May be called from any thread.

        PyTorch's own cleanup, run by the garbage collector, may find its queues closed: then it waits for each process
        in vain, and the processes stay. A process that is killed may hold the lock of the event that ends them, which
        PyTorch would then wait for without end.
        """
        batches: Any = self._batches
        if not getattr(batches, "_worker_pids_set", False):
            return
        torch._C._remove_worker_pids(id(batches))  # their end is not a failure
        batches._worker_pids_set = False
        if hasattr(batches, "_pin_memory_thread"):  # it may be receiving a batch from one of them
            batches._pin_memory_thread_done_event.set()
            batches._worker_result_queue.put((None, None))
            batches._pin_memory_thread.join(_PINNED)
        for process in batches._workers:
            process.kill()
        if hasattr(batches, "_pin_memory_thread") and batches._pin_memory_thread.is_alive():
            del (
                batches._pin_memory_thread
            )  # it waits for the rest of a batch of a killed sender; PyTorch would wait too
        batches._workers_done_event = threading.Event()  # no process is left to read the shared one
        batches._shutdown_workers()


def training_loader(
    words: Batches,
    *,
    batch_size: int,
    start: int,
    workers: int,
    start_method: str = "auto",
    pin_memory: bool = False,
    wanted: Callable[[int], bool] | None = None,
    division: Division | None = None,
) -> StartedLoader:
    """Return an endless loader whose first batch starts with draw number `start`. It starts immediately and runs until
    it is closed; `batch_size`, `wanted` and `division` as in StepSampler."""
    if start_method == "auto":
        start_method = "fork" if sys.platform == "linux" and not torch.cuda.is_initialized() else "spawn"
    stacks = WorkerStacks()
    dataset: Dataset[Any] = words  # type: ignore[assignment]  # map-style by __getitems__, without a length
    with warnings.catch_warnings():  # the caller chooses the number of processes
        warnings.filterwarnings("ignore", "This DataLoader will create")
        loader = DataLoader(
            dataset,
            batch_sampler=StepSampler(batch_size, start, division, wanted),
            num_workers=workers,
            collate_fn=shared_tensors,
            worker_init_fn=WorkerStart(stacks),
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            multiprocessing_context=start_method if workers else None,
            pin_memory=pin_memory,
        )
        return StartedLoader(loader, stacks)
