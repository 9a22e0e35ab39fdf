"""One writer at a time: a lock file beside what is being written; the system lets it go when its process dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrctl.errors import InputError, UsageError

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

_held: set[int] = set()  # descriptors of the locks this process holds


def _let_go_in_child() -> None:
    """A forked worker that outlives a killed build must not keep its lock."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def keep_from_children(handle: int) -> None:
    """Have every process that is forked from now on close `handle`, the descriptor of a lock, at once."""
    _held.add(handle)


def let_go(handle: int) -> None:
    """Close a lock's descriptor, which frees the lock."""
    _held.discard(handle)
    os.close(handle)


@contextmanager
def only_writer(target: Path) -> Iterator[None]:
    """Hold TARGET.lock while the block runs; the file is gone afterwards.

    Raises UsageError naming the process that holds it, InputError when it cannot be made. Without a lock on Windows.
    """
    if fcntl is None:
        yield
        return
    path = target.with_name(target.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = _locked(path, target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from error
    keep_from_children(handle)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still locked, so that it is nobody else's
        let_go(handle)


def _locked(path: Path, target: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, handle):
                os.ftruncate(handle, 0)
                os.write(handle, b"%d\n" % os.getpid())
                return handle
        except BlockingIOError as error:
            owner = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise UsageError(
                f"{target} is being written by process {owner}.", hint="wait for it, or name another target"
            ) from error
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its owner removed it between our opening and locking it: take the next one


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
