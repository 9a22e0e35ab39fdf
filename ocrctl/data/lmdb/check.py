"""Read and check samples before they are written, in this process or in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import unicodedata
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from ocrctl.data.images.libjpeg_warnings import DecoderWarnings
from ocrctl.data.lmdb.word_source import WordSource
from ocrctl.errors import InputError, counted
from ocrctl.shell import termination_signals

CHUNK = 128  # samples per task: few enough to keep memory small, enough to make the transfer cheap

# One sample: its encoded image, or why it is invalid.
Checked = bytes | str

_source: WordSource
_max_length = 0


def label_problem(label: str, max_length: int) -> str:
    """Return why `label` is not usable for training, or "". `max_length` in code points; 0 is no limit."""
    if not label.strip():
        return "the label is empty"
    if max_length and len(label) > max_length:
        return f"the label has {counted(len(label), 'character')}, the limit is {max_length}"
    if not label.isprintable():  # also true of unusual spaces, which are allowed
        for char in label:
            kind = unicodedata.category(char)
            if kind == "Cc":
                return f"the label holds the control character U+{ord(char):04X}"
            if kind == "Cs":
                return f"the label holds U+{ord(char):04X}, half a surrogate pair, which UTF-8 cannot encode"
    return ""


def _plain(labels: Sequence[str], max_length: int) -> bool:
    """Return whether none of `labels` has a problem."""
    if max_length and max(map(len, labels), default=0) > max_length:
        return False
    return "".join(labels).isprintable() and all(map(str.strip, labels))


def check_samples(source: WordSource, indices: range, max_length: int) -> list[Checked]:
    """Read and check the samples `indices`."""
    labels, image_bytes = source.labels, source.image_bytes
    results: list[Checked] = []
    images: dict[int, bytes] = {}  # by position in `results`
    texts = labels[indices.start : indices.stop]
    plain = _plain(texts, max_length)
    for index in indices:
        result: Checked = "" if plain else label_problem(labels[index], max_length)
        if not result:
            try:
                images[len(results)] = result = image_bytes(index)
            except InputError as error:
                result = error.message.removeprefix(f"{source.where(index)}: ").removesuffix(".")
        results.append(result)
    with DecoderWarnings() as decoder:
        for position, problem in zip(images, decoder.check_all(list(images.values())), strict=True):
            if problem:
                results[position] = problem
    return results


def check_all(source: WordSource, start: int, max_length: int, jobs: int) -> Generator[tuple[range, list[Checked]]]:
    """Yield all samples from `start` on, in order, in chunks. `jobs` above 1: worker processes that read and decode.

    Raises InputError when a worker process dies, as a decoder may on a malicious file.
    """
    chunks = (range(first, min(first + CHUNK, len(source))) for first in range(start, len(source), CHUNK))
    if jobs == 1:
        for chunk in chunks:
            yield chunk, check_samples(source, chunk, max_length)
        return
    with ProcessPoolExecutor(jobs, worker_context(), _initialise, (source, max_length)) as pool:
        waiting: deque[tuple[range, Future[list[Checked]]]] = deque()
        try:
            for chunk in islice(chunks, 3 * jobs):
                waiting.append((chunk, pool.submit(_check_chunk, chunk)))
            while waiting:
                chunk, future = waiting.popleft()
                results = future.result()
                for following in islice(chunks, 1):
                    waiting.append((following, pool.submit(_check_chunk, following)))
                yield chunk, results
        except BrokenProcessPool as error:
            raise InputError(
                f"{source.where(chunk.start)}: a process died on this sample or one of the next {CHUNK * 3 * jobs}.",
                hint="Run again with --jobs 1 to find the sample.",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def worker_context() -> multiprocessing.context.BaseContext:
    """Return how worker processes start on this system."""
    # Forked processes share the labels; a spawned one gets a pickled copy.
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def follow_parent() -> None:
    """Set up a worker process: ignore signals, which reach the whole group while the parent decides when to stop, and
    end when the parent is killed."""
    for number in (signal.SIGINT, *termination_signals()):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _initialise(source: WordSource, max_length: int) -> None:
    global _source, _max_length
    _source, _max_length = source, max_length
    follow_parent()


def _check_chunk(chunk: range) -> list[Checked]:
    return check_samples(_source, chunk, _max_length)
