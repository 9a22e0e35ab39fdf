"""Map exceptions to missing system resources: memory, shared memory, processes, open files.

PyTorch, oneDNN, OpenCV, ONNX Runtime and the system report these with general exceptions, which are distinguished by
their text. This module does not import torch, so that it also covers failures of that import.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

_DEAD_WORKER = "DataLoader worker (pid"  # it has ended by itself; what one raises reads "in DataLoader worker process"
_NO_SHARED_MEMORY = ("unable to allocate shared memory", "unable to mmap")
_NO_MEMORY = (
    "can't allocate memory",  # DefaultCPUAllocator
    "not enough memory",  # the same, on Windows
    "Cannot allocate memory",  # the system
    "could not create a primitive",  # oneDNN
    "could not create a memory",
    "bad_alloc",  # C++
    "Insufficient memory",  # OpenCV
    "Unable to allocate",  # numpy, out of a worker
    "MemoryError",
    "Failed to allocate memory",  # ONNX Runtime
    "failed to map segment",  # the loader of shared libraries
)
_NO_PROCESSES = ("can't start new thread", "Resource temporarily unavailable")
_NO_FILES = ("received 0 items of ancdata", "Too many open files")  # the first: a worker's file did not arrive


@dataclass(frozen=True)
class Shortage:
    """A missing resource, as a sentence without its end."""

    sentence: str


LIBRARIES = Shortage("Out of memory while a library is loaded")
DEVICE_MEMORY = Shortage("Out of device memory")
MEMORY = Shortage("Out of memory")
WORKER_MEMORY = Shortage("Out of memory in a loader process")
SHARED = Shortage("No room in shared memory (/dev/shm)")
DEAD_WORKER = Shortage("A loader process died")
PROCESSES = Shortage("The system allows no more processes or threads")
FILES = Shortage("Too many open files (ulimit -n raises the limit)")
_ENFORCED = re.compile(r"^.*\[enforce fail at [^]]*\](?: [^.]*\.(?= ))?\s*")  # PyTorch's line of source and condition


def shortage_of(error: BaseException) -> Shortage | None:
    """Return the missing resource that `error` indicates, None for other errors."""
    if type(error).__name__ == "OutOfMemoryError":  # torch's; torch.cuda's is the same
        return DEVICE_MEMORY
    number = error.errno if isinstance(error, OSError) else None
    general = isinstance(error, RuntimeError | MemoryError | ImportError) or type(error).__module__.startswith(
        ("cv2", "onnxruntime")
    )
    if not general and number is None:
        return None
    text = str(error)
    if any(part in text for part in _NO_SHARED_MEMORY):
        return SHARED
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(part in text for part in _NO_MEMORY):
        if isinstance(error, ImportError):
            return LIBRARIES
        return WORKER_MEMORY if "in DataLoader worker process" in text else MEMORY
    if number == errno.EMFILE or any(part in text for part in _NO_FILES):
        return FILES
    if number == errno.EAGAIN or any(part in text for part in _NO_PROCESSES):
        return PROCESSES
    return DEAD_WORKER if _DEAD_WORKER in text else None


def find_shortage(error: BaseException) -> tuple[Shortage, BaseException] | None:
    """Return the missing resource that `error`, or an exception that it was raised from or after, indicates, and that
    exception: exporters wrap what a model raises."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if shortage := shortage_of(link):
            return shortage, link
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return None


def reason_of(error: BaseException) -> str:
    """Return the last line of the message, without the source line of the library that raised it."""
    line = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
    return (_ENFORCED.sub("", line.strip()) or type(error).__name__)[:200]
