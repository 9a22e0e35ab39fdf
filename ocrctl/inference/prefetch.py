"""Compute ahead in threads, with results in order: images are decoded while the model computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from ocrctl.runtime import available_cores

if TYPE_CHECKING:
    from concurrent.futures import Future

In = TypeVar("In")
Out = TypeVar("Out")


def chunks(items: Iterable[In], size: int) -> Iterator[list[In]]:
    """Split into consecutive lists of `size` items, the last one shorter, without reading further ahead."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def batches(items: Iterable[In | None], size: int) -> Iterator[list[In] | None]:
    """Split a stream that pauses: None in `items` yields the pending items as a shorter list, then None."""
    batch: list[In] = []
    for item in items:
        if item is not None:
            batch.append(item)
        if batch and (item is None or len(batch) == size):
            yield batch
            batch = []
        if item is None:
            yield None
    if batch:
        yield batch


def default_jobs() -> int:
    """Return the default number of decoding threads: half the cores, 1 to 8; one decodes thousands of words a
    second."""
    return min(8, max(1, available_cores() // 2))


def map_ahead(work: Callable[[In], Out], items: Iterable[In | None], jobs: int) -> Iterator[Out]:
    """Compute `map(work, items)` in order, up to `jobs + 1` items ahead in `jobs` threads; 0 uses this thread.

    opencv and lmdb release the interpreter lock, so threads are enough and nothing is pickled. An exception in `work`
    is raised at its result. None in `items` is a pause: all results before it are yielded before the next item is
    requested. When the iterator is closed, work that has not started is cancelled.
    """
    if jobs < 1:
        for item in items:
            if item is not None:
                yield work(item)
        return
    from concurrent.futures import ThreadPoolExecutor  # with logging, which one image does not need

    pool = ThreadPoolExecutor(jobs, thread_name_prefix="decode")
    waiting: deque[Future[Out]] = deque()
    try:
        for item in items:
            if item is not None:
                waiting.append(pool.submit(work, item))
            while len(waiting) > (jobs if item is not None else 0):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
