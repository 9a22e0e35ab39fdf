"""Python stacks of loader processes: each writes them to a shared file when it receives SIGUSR2.

The handler is faulthandler's, in C, so it works while a worker waits in a system call or in a library. The file has no
name and needs none: it is passed to the workers as a descriptor, and disappears with the last process.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import tempfile
import time
from multiprocessing import reduction
from pathlib import Path
from typing import Any

_SETTLED = 0.1  # seconds without a new line after which a worker's stacks are complete
_STATES = {
    "D": "it waits for a disk or a network file system",
    "T": "it is stopped",
    "t": "it is stopped by a debugger",
    "Z": "it has ended",
}


class WorkerStacks:
    """The file to which loader processes append `ready PID` once they can answer, then their stacks on request.

    Works with every start method: a forked worker inherits the descriptor, for others it is duplicated.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        """`descriptor`: the file of another process, appended to; None creates one."""
        if descriptor is None:
            self._file: Any = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # open until the loader is gone
            if sys.platform != "win32":
                import fcntl

                flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
                fcntl.fcntl(self._file, fcntl.F_SETFL, flags | os.O_APPEND)
        else:
            self._file = os.fdopen(descriptor, "ab", buffering=0)

    def __reduce__(self) -> tuple[Any, ...]:
        if sys.platform == "win32":
            return (WorkerStacks, ())
        return (_attached, (reduction.DupFd(self._file.fileno()),))

    def register(self) -> None:
        """Answer SIGUSR2 in this process, a loader process, from now on."""
        if sys.platform != "win32":
            faulthandler.register(signal.SIGUSR2, file=self._file, all_threads=True)
            self._file.write(f"ready {os.getpid()}\n".encode())

    def read(self, pid: int, seconds: float = 2.0) -> str:
        """Return the stacks of the worker `pid`, or why there are none; waits up to `seconds` for its answer."""
        if sys.platform == "win32":
            return "its stacks cannot be read on Windows\n"
        handle = self._file.fileno()
        start = os.fstat(handle).st_size
        if f"ready {pid}\n".encode() not in os.pread(handle, start, 0):
            return f"it is still starting{_state(pid)}\n"
        try:
            os.kill(pid, signal.SIGUSR2)
        except OSError:
            return "it has ended\n"
        limit, size = time.monotonic() + seconds, start
        while time.monotonic() < limit:
            time.sleep(_SETTLED)
            before, size = size, os.fstat(handle).st_size
            if size == before > start:
                return os.pread(handle, size - start, start).decode("utf-8", "replace")
        return f"it does not answer{_state(pid)}\n"


def _attached(copy: Any) -> WorkerStacks:
    return WorkerStacks(copy.detach())


def _state(pid: int) -> str:
    """Describe why a process does not run, where the system tells (/proc)."""
    with contextlib.suppress(OSError, IndexError):
        letter = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        return f": {_STATES[letter]}" if letter in _STATES else ""
    return ""
