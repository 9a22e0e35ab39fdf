"""Map exceptions to missing system resources: memory, shared memory, processes, open files.

PyTorch, oneDNN, OpenCV and the system report these with general exceptions, which are distinguished
by their text. This module does not import torch, so that it also covers failures of that import.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrctl.config.settings import Settings
from ocrctl.errors import ResumableStop
from ocrctl.shell import shell_quote

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
    "failed to map segment",  # the loader of shared libraries
)
_NO_PROCESSES = ("can't start new thread", "Resource temporarily unavailable")
_NO_FILES = ("received 0 items of ancdata", "Too many open files")  # the first: a worker's file did not arrive


@dataclass(frozen=True)
class Shortage:
    """A missing resource: a sentence with a field for the batch size, the setting to change, and whether a run may
    change it when it is resumed."""

    sentence: str
    change: Callable[[Settings], str]
    on_resume: bool


def _smaller_batch(settings: Settings) -> str:
    train = settings.train
    if train.batch_size == 1:
        return "a smaller input or model"
    half = max(1, train.batch_size // 2)
    return f"--set train.batch_size={half} --set train.accumulate={-(-train.batch_size * train.accumulate // half)}"


def _no_workers(settings: Settings) -> str:
    return "--set data.workers=0"


def _more_memory(settings: Settings) -> str:
    return "a higher memory limit (ulimit -v, or the container's)"


LIBRARIES = Shortage("Out of memory while a library is loaded", _more_memory, on_resume=False)
DEVICE_MEMORY = Shortage("Out of device memory at batch {batch}", _smaller_batch, on_resume=False)
MEMORY = Shortage("Out of memory at batch {batch}", _smaller_batch, on_resume=False)
WORKER_MEMORY = Shortage("Out of memory in a loader process", _no_workers, on_resume=True)
SHARED = Shortage("No room in shared memory (/dev/shm) for a batch of {batch}", _no_workers, on_resume=True)
DEAD_WORKER = Shortage("A loader process died", _no_workers, on_resume=True)
PROCESSES = Shortage("The system allows no more processes or threads", _no_workers, on_resume=True)
FILES = Shortage("Too many open files (ulimit -n raises the limit)", _no_workers, on_resume=True)


def shortage_of(error: BaseException) -> Shortage | None:
    """Return the missing resource that `error` indicates, None for other errors."""
    if type(error).__name__ == "OutOfMemoryError":  # torch's; torch.cuda's is the same
        return DEVICE_MEMORY
    number = error.errno if isinstance(error, OSError) else None
    general = isinstance(error, RuntimeError | MemoryError | ImportError) or type(error).__module__ == "cv2"
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


def resumable(error: BaseException, settings: Settings, run: Path | None) -> ResumableStop | None:
    """Convert `error` to a ResumableStop with the command that continues the run; None if it is not a
    missing resource. `run`: folder of the run, None before it exists."""
    lack = shortage_of(error)
    if lack is None:
        return None
    reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
    change = lack.change(settings)
    if lack is SHARED:
        change = f"{change}, or enlarge /dev/shm (docker run --shm-size=1g)"
    if lack is MEMORY:
        change = f"{change}; fewer data.workers and --set train.mkldnn=false need less, too"
    return ResumableStop(
        f"{lack.sentence.format(batch=settings.train.batch_size)}: {reason.strip()[:200]}",
        hint=f"{_command(lack, run)} {change}",
    )


def _command(lack: Shortage, run: Path | None) -> str:
    """Return the start of the command that continues the run."""
    if run is None or not (run / "config.toml").exists():
        return "run the same command with"
    if lack.on_resume:
        return f"go on with: ocrctl train --resume -o {shell_quote(run)}"
    if (run / "last.ckpt").exists():
        profile = shell_quote(run / "config.toml")
        return f"a new run from this one: ocrctl train -p {profile} --from {shell_quote(run)} -o NEW"
    return f"nothing was saved yet; begin again: ocrctl train -p {shell_quote(run / 'config.toml')} -o NEW"
