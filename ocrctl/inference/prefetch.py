"""Work done ahead in threads, handed out in order: decoding keeps pace while the model computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from ocrctl.inference.devices import available_cores

In = TypeVar("In")
Out = TypeVar("Out")


def chunks(items: Iterable[In], size: int) -> Iterator[list[In]]:
    """Consecutive lists of `size` items, the last one shorter; reads no further ahead than it must."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def default_jobs() -> int:
    """Decoding threads when nobody says: half the cores, 1 to 8; one thread decodes thousands of words a second."""
    return min(8, max(1, available_cores() // 2))


def map_ahead(work: Callable[[In], Out], items: Iterable[In], jobs: int) -> Iterator[Out]:
    """`map(work, items)` in order, computed up to `jobs + 1` items ahead by `jobs` threads; 0 works in this thread.

    opencv and lmdb release the interpreter lock, so threads are enough and nothing is pickled. An exception in `work`
    is raised where its result would have come. Abandoned halfway, it cancels what has not started.
    """
    if jobs < 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="decode")
    waiting: deque[Future[Out]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
