"""One writer at a time: a lock file beside, or in, what is being written.

The lock is `flock` on that file: the system releases it when the process dies, however it dies. Where the system or the
file system has no flock, the file itself is the lock, created exclusively; one that a killed process left there has to
be deleted by hand, and the error says so. A file of that name that no lock of ours wrote is refused and left alone.
"""

from __future__ import annotations

import errno
import os
import re
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
_MOST = 400  # bytes read of it; an owner takes fewer
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
WRITING = "{name} is being written by {owner}."
_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

_held: set[int] = set()  # descriptors of the locks this process holds


def _release_in_child() -> None:
    """A forked worker that outlives a killed parent must not keep its locks."""
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
        """Let the next writer in. Harmless when done twice, or in a forked child, which never held it."""
        if self._handle < 0 or self._process != os.getpid():
            return
        handle, self._handle = self._handle, -1
        _held.discard(handle)
        if fcntl is None:  # an open file cannot be removed there
            os.close(handle)
            self.path.unlink(missing_ok=True)
        else:
            if _is_still(self.path, handle):  # while it is locked, so that it is no other process's
                self.path.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def exclusive_lock(target: Path, *, name: Path | None = None) -> Iterator[None]:
    """Hold TARGET.lock while the block runs; the file is gone afterwards. Raises as `lock` does."""
    held = lock(target, name=name)
    try:
        yield
    finally:
        held.release()


@contextmanager
def exclusive_folder_lock(folder: Path) -> Iterator[None]:
    """Hold FOLDER/.ocrctl.lock, for a folder that several commands write into; it is made when missing."""
    held = lock_folder(folder)
    try:
        yield
    finally:
        held.release()


def lock_folder(folder: Path, refused: str = WRITING) -> Lock:
    """Lock `folder` itself, by whatever path it is named. Raises as `lock` does."""
    return lock(folder / ".ocrctl", name=folder, refused=refused)


def lock(target: Path, *, name: Path | None = None, refused: str = WRITING) -> Lock:
    """Take TARGET.lock; folders above it are made.

    Raises UsageError naming the process that holds it (`refused` is the sentence, with `name`, the target without one),
    or a file of that name that is no lock, and for a target in the partial folder of another command; InputError when
    it cannot be written.
    """
    path = target.with_name(target.name + ".lock")
    refuse_partial(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = Lock(path, _taken(path, name or target, refused))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from error
    try:
        refuse_partial(path.parent)  # again: the partial folder may have appeared before the lock
    except UsageError:
        held.release()
        raise
    return held


def open_locked(path: Path) -> int | None:
    """The descriptor of an empty file at `path`, locked once no other process has it; `untrack` before it is closed.

    None where there is no flock. What is at `path` is overwritten: for names that only ocrctl uses.
    """
    while fcntl is not None:
        handle = os.open(path, _OPEN | os.O_CREAT, 0o666)
        try:
            if _flocked(handle, wait=True) is None:
                break
            if _is_still(path, handle):
                os.ftruncate(handle, 0)
                _held.add(handle)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # it was renamed or removed meanwhile
    else:
        return None
    os.close(handle)
    path.unlink(missing_ok=True)  # empty: who has no locks uses another name
    return None


def untrack(handle: int) -> None:
    """Have later forks inherit `handle` again: it is about to be closed, and its number to be another file's."""
    _held.discard(handle)


def _taken(path: Path, name: Path, refused: str) -> int:
    """The descriptor of the locked file."""
    while True:
        handle, created = _opened(path)
        try:
            exclusive = _flocked(handle)
            if exclusive is False or (exclusive is None and not created):
                raise _refusal(path, name, refused, handle, left=exclusive is None)
            if _is_still(path, handle):
                content = os.pread(handle, _MOST, 0) if hasattr(os, "pread") else b""
                if content and not _OWNER.fullmatch(content):
                    raise UsageError(
                        f"{path}: is in the way and no lock of ocrctl.", hint="move it, or write to another path"
                    )
                os.ftruncate(handle, 0)
                os.write(handle, f"ocrctl {os.getpid()} {_host()}\n".encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its owner removed it between our opening and locking it: take the next one


def _opened(path: Path) -> tuple[int, bool]:
    """The lock file, and whether this call made it."""
    while True:
        try:
            return os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            try:
                return os.open(path, _OPEN), False
            except FileNotFoundError:  # removed just now
                continue


def _flocked(handle: int, *, wait: bool = False) -> bool | None:
    """Whether the file is locked now (False: another process has it); None where there is no flock."""
    if fcntl is None:
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


def _refusal(path: Path, name: Path, refused: str, handle: int, *, left: bool) -> UsageError:
    """Who holds it; `left`: the file may be all that is left of its process, for nothing but the file is the lock."""
    match = None
    for _ in range(20):  # its owner may not have written its number yet
        os.lseek(handle, 0, os.SEEK_SET)
        match = _OWNER.fullmatch(os.read(handle, _MOST))
        if match:
            break
        time.sleep(0.01)
    owner, host = (match[1].decode(), match[2].decode(errors="replace")) if match else ("unknown", _host())
    where = "" if host == _host() else f" on {host}"
    hint = "wait for it, or name another target"
    if left:
        hint += f"; if that process has ended, delete {path}"
    return UsageError(refused.format(name=name, owner=f"process {owner}{where}"), hint=hint)


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(handle))
    except FileNotFoundError:
        return False
