"""One process per run folder."""

from __future__ import annotations

import os
from pathlib import Path

from ocrctl.data.lmdb_lock import keep_from_children, let_go
from ocrctl.errors import UsageError


def sweep(run: Path) -> None:
    """Remove what a killed process had begun to write in `run`; only who holds the lock may."""
    for path in [*run.glob(".*.tmp"), *run.glob("quarantine/*/.*.tmp")]:
        path.unlink(missing_ok=True)


def unlock(lock: int | None) -> None:
    """Let go of what `lock_run` returned; None was never held."""
    if lock is not None:
        let_go(lock)


def lock_run(run: Path) -> int | None:
    """Keep other processes from training in `run` until this one ends; returns the lock for `unlock`.

    Raises UsageError when another process trains there. Where the system has no locks, nothing is locked.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(run, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        hint = "wait for it, or choose another -o"
        raise UsageError(f"{run}: another process is training there.", hint=hint) from error
    except OSError:  # a file system without locks
        pass
    keep_from_children(descriptor)  # a loader's process that outlives a killed run must not keep its lock
    return descriptor
