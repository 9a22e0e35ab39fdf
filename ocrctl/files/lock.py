"""Exclusive locks for writers: a lock file beside the target, or in the target folder.

The lock is `flock` on that file, which the system releases when the process dies. On systems and file systems without
flock the file itself is the lock, created exclusively; one left by a killed process has to be deleted by hand, and the
error says so. A file of that name with other content is refused and not changed.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrctl.errors import InputError, UsageError
from ocrctl.files.partial import refuse_partial

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_OWNER = re.compile(rb"ocrctl (\d+) ([^\n]*)\n")  # content of a lock file: process and host
_MAX_OWNER = 400  # bytes read of a lock file
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
WRITING = "{name} is being written by {owner}."
_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

_held: set[int] = set()  # descriptors of the locks this process holds


def _release_in_child() -> None:
    """Close the locks of the parent: a forked worker that outlives it must not keep them."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)


class Lock:
    """A held lock; `release` removes its file."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self._process = os.getpid()
        _held.add(handle)

    def release(self) -> None:
        """Release the lock. A no-op when called twice, or in a forked child."""
        if self._handle < 0 or self._process != os.getpid():
            return
        handle, self._handle = self._handle, -1
        _held.discard(handle)
        if fcntl is None:  # Windows cannot remove an open file
            os.close(handle)
            self.path.unlink(missing_ok=True)
        else:
            if _is_same_file(self.path, handle):  # still locked: no other process owns it
                self.path.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def exclusive_lock(target: Path, *, name: Path | None = None) -> Iterator[None]:
    """Hold TARGET.lock during the block; the file is removed afterwards. Raises as `lock`."""
    held = lock(target, name=name)
    try:
        yield
    finally:
        held.release()


@contextmanager
def exclusive_folder_lock(folder: Path) -> Iterator[None]:
    """Hold FOLDER/.ocrctl.lock during the block, for a folder that several commands write to; creates the folder."""
    held = lock_folder(folder)
    try:
        yield
    finally:
        held.release()


def lock_folder(folder: Path, refused: str = WRITING) -> Lock:
    """Lock `folder`, independent of the path that names it. Raises as `lock`."""
    return lock(folder / ".ocrctl", name=folder, refused=refused)


def lock(target: Path, *, name: Path | None = None, refused: str = WRITING) -> Lock:
    """Acquire TARGET.lock; creates parent folders.

    Raises UsageError naming the process that holds it (`refused` is the sentence; `name` defaults to the target) or a
    file of that name that is not a lock, and for a target in the partial folder of another command; InputError when it
    cannot be written.
    """
    path = target.with_name(target.name + ".lock")
    refuse_partial(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = Lock(path, _acquire(path, name or target, refused))
    except OSError as error:
        if isinstance(error, FileExistsError | NotADirectoryError) and not path.parent.is_dir():
            raise InputError(f"{path.parent}: cannot be written: it is a file, or below one; name a folder.") from error
        if error.errno in _DENIED:
            raise _denied(name or target, path.parent, error) from error
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from error
    try:
        refuse_partial(path.parent)  # again: the partial folder may have appeared before the lock
    except UsageError:
        held.release()
        raise
    return held


def check_folder(folder: Path) -> None:
    """Raise InputError when `folder`, or the nearest folder above it that exists, may not be written to; call it before
    long work. Nothing is created."""
    above = _existing(folder)
    follows = os.access in os.supports_effective_ids
    if above.is_dir() and not os.access(above, os.W_OK | os.X_OK, effective_ids=follows):
        raise _denied(folder, above, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def refuse_locked(folder: Path, refused: str = WRITING) -> None:
    """Raise UsageError when another process holds the lock of `folder`, before slow work that needs it; `lock_folder`
    decides. Nothing is created, and without flock nothing is refused."""
    path = folder / ".ocrctl.lock"
    try:
        handle = os.open(path, _FLAGS)
    except OSError:  # there is none, or `lock_folder` names the reason
        return
    try:
        if _flock(handle) is False:
            raise _refusal(path, folder, refused, handle, stale=False)
    finally:
        os.close(handle)


def open_locked(path: Path) -> int | None:
    """Wait for the lock of `path` and return the descriptor of the emptied file; call `untrack` before closing it.

    Returns None without flock. A file at `path` is overwritten: only for names that ocrctl reserves.
    """
    while fcntl is not None:
        handle = os.open(path, _FLAGS | os.O_CREAT, 0o666)
        try:
            if _flock(handle, wait=True) is None:
                break
            if _is_same_file(path, handle):
                os.ftruncate(handle, 0)
                _held.add(handle)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # renamed or removed meanwhile
    else:
        return None
    os.close(handle)
    path.unlink(missing_ok=True)  # empty; the caller uses another name without locks
    return None


def untrack(handle: int) -> None:
    """Stop closing `handle` in forked children: the caller is about to close it."""
    _held.discard(handle)


def _existing(folder: Path) -> Path:
    return next((one for one in (folder, *folder.parents) if one.exists()), Path(os.curdir))


def _denied(name: Path, folder: Path, error: OSError) -> InputError:
    """Return the error for `name`, which is written into `folder`, and without the permission to."""
    above = _existing(folder)
    where = "" if above == name else f" in {os.path.abspath(above) if above == Path(os.curdir) else above}"
    return InputError(
        f"{name}: cannot be written ({error.strerror}{where}).", hint="name another path, or change the permissions"
    )


def _acquire(path: Path, name: Path, refused: str) -> int:
    """Return the descriptor of the locked file."""
    while True:
        handle, created = _open(path)
        try:
            exclusive = _flock(handle)
            if exclusive is False or (exclusive is None and not created):
                raise _refusal(path, name, refused, handle, stale=exclusive is None)
            if _is_same_file(path, handle):
                content = os.pread(handle, _MAX_OWNER, 0) if hasattr(os, "pread") else b""
                if content and not _OWNER.fullmatch(content):
                    raise UsageError(
                        f"{path}: exists and is not a lock of ocrctl.", hint="move it, or write to another path"
                    )
                os.ftruncate(handle, 0)
                os.write(handle, f"ocrctl {os.getpid()} {_host()}\n".encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # removed by its owner between open and flock: retry


def _open(path: Path) -> tuple[int, bool]:
    """Open the lock file; returns the descriptor and whether this call created it."""
    while True:
        try:
            return os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            try:
                return os.open(path, _FLAGS), False
            except FileNotFoundError:  # removed just now
                continue


def _flock(handle: int, *, wait: bool = False) -> bool | None:
    """Lock the file; returns False when another process holds it, None without flock."""
    if sys.platform == "win32" or fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise
    return True


def _refusal(path: Path, name: Path, refused: str, handle: int, *, stale: bool) -> UsageError:
    """Return the error that names the owner; `stale`: the file may be the leftover of a dead process."""
    match = None
    for _ in range(20):  # its owner may not have written its process id yet
        os.lseek(handle, 0, os.SEEK_SET)
        match = _OWNER.fullmatch(os.read(handle, _MAX_OWNER))
        if match:
            break
        time.sleep(0.01)
    owner, host = (match[1].decode(), match[2].decode(errors="replace")) if match else ("unknown", _host())
    where = "" if host == _host() else f" on {host}"
    hint = "wait for it, or choose another path"
    if stale:
        hint += f"; if that process has ended, delete {path}"
    return UsageError(refused.format(name=name, owner=f"process {owner}{where}"), hint=hint)


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _is_same_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(handle))
    except FileNotFoundError:
        return False
