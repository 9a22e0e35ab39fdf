"""End a process whose peers are gone: a collective that waits for a dead process would wait until its timeout.

gloo notices a closed connection at once, NCCL only by its timeout. A thread therefore watches the other processes of
this machine; those of other machines are left to the launcher (torchrun, `srun --kill-on-bad-exit=1`) and to the
timeout.
"""

from __future__ import annotations

import os
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import distributed as dist

from ocrctl.errors import OcrctlError, ResumableStop
from ocrctl.escape import visible
from ocrctl.shell import shell_quote

GRACE = 15.0  # seconds in which the training thread reports a lost process itself
POLL = 0.5  # seconds between two looks, where the system has no pidfd
_BROKEN = re.compile(r"connection (was )?(closed|reset|refused)|broken pipe|timed? ?out|gloo|nccl", re.IGNORECASE)


class Member(NamedTuple):
    """One process of a run."""

    rank: int
    host: str
    pid: int


def this_member(rank: int) -> Member:
    """Return this process."""
    return Member(rank, socket.gethostname(), os.getpid())


def is_broken(error: BaseException) -> bool:
    """Return whether `error` is what a collective raises when another process is gone or silent."""
    if isinstance(error, (dist.DistError, ConnectionError)):
        return True
    return isinstance(error, RuntimeError) and _BROKEN.search(str(error)) is not None


class PeerWatch:
    """Watches the other processes of this machine until it is closed."""

    def __init__(self, members: Sequence[Member], rank: int, run: Path, end: Callable[[int], None] = os._exit) -> None:
        """`members`: all processes of the run. `end` is called with an exit code when the training thread does not end
        by itself."""
        own = members[rank]
        self.world, self.run, self._end = len(members), run, end
        self._watched = [member for member in members if member.host == own.host and member.rank != rank]
        self._lost: Member | None = None
        self._found, self._closed = threading.Event(), threading.Event()

    def start(self) -> None:
        """Start watching."""
        if self._watched:
            threading.Thread(target=self._watch, name="peer-watch", daemon=True).start()

    def close(self) -> None:
        """Stop watching: from now on the others may end."""
        self._closed.set()

    def error(self, wait: float = 3.0) -> OcrctlError:
        """Return the error of a broken collective, naming the process that is gone if one of this machine is."""
        self._found.wait(wait)
        if self._lost is None:
            what = f"A process of the {self.world} does not answer"
        else:
            what = f"Process {self._lost.rank} of {self.world} (pid {self._lost.pid}) has ended"
        return ResumableStop(
            f"{what}: the others cannot go on without it; its own error says why, if it had time for one.",
            hint=f"ocrctl train --resume -o {shell_quote(self.run)} (with the same launcher)",
        )

    def _watch(self) -> None:
        self._lost = self._wait_for_end()
        if self._lost is None:
            return
        self._found.set()
        if self._closed.wait(GRACE):
            return
        error = self.error(0.0)
        sys.stderr.write(visible(f"error: {error.message}\nhint: {error.hint}\n", keep="\n"))
        sys.stderr.flush()
        self._end(error.exit_code)

    def _wait_for_end(self) -> Member | None:
        """Return the first process that ends; None once closed."""
        handles: dict[int, Member] = {}
        for member in self._watched:
            try:
                if sys.platform != "linux":
                    return self._poll_for_end()
                handles[os.pidfd_open(member.pid)] = member
            except ProcessLookupError:
                return member
            except (AttributeError, OSError):  # an old kernel, or a Python without it
                return self._poll_for_end()
        try:
            while not self._closed.is_set():
                ready, _, _ = select.select(list(handles), [], [], POLL)
                if ready:
                    return handles[ready[0]]
            return None
        finally:
            for handle in handles:
                os.close(handle)

    def _poll_for_end(self) -> Member | None:
        while not self._closed.is_set():
            for member in self._watched:
                try:
                    os.kill(member.pid, 0)
                except ProcessLookupError:
                    return member
                except OSError:
                    continue
            time.sleep(POLL)
        return None
