"""Single files that hold either the old content or the new: written under a temporary name, synced, renamed.

The temporary name, `.NAME.ocrctl-tmp` beside NAME, is one that only ocrctl uses, and is locked while it is written: a
second writer of the same file waits for the first, and what a killed one left is overwritten by the next.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TextIO

from ocrctl.errors import UsageError
from ocrctl.files.durable import cannot_write, sync_folder
from ocrctl.files.lock import open_locked, untrack
from ocrctl.files.partial import refuse_file_name

SUFFIX = ".ocrctl-tmp"  # of temporary files
_LONGEST = 200  # bytes of a name that goes into a temporary one; file systems take 255
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EINVAL}


def temporary_of(path: Path) -> Path:
    """The name under which `path` is written before it is renamed."""
    name = path.name.encode(errors="surrogateescape")[:_LONGEST].decode(errors="ignore")
    return path.with_name(f".{name}{SUFFIX}")


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that killed processes left in `folder`; only who holds its lock may."""
    for path in folder.glob(f".*{SUFFIX}"):
        path.unlink(missing_ok=True)


@contextmanager
def open_atomic(path: Path, *, create: bool = False) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` (of a link, what it leads to) when the block ends well, and is removed when
    it does not. A device or a pipe is written itself.

    `create`: raises FileExistsError instead of replacing a file. Raises OSError, and UsageError for a name or a folder
    that other commands of ocrctl use.
    """
    refuse_file_name(path)
    if _is_special(path):
        with path.open("wb") as file:
            yield file
        return
    _make_parent(path)
    real = Path(os.path.realpath(path))
    temporary, handle, locked = _begin(real)
    placed = False
    try:
        try:
            with open(handle, "wb", closefd=False) as file:
                yield file
            os.fsync(handle)
            if real.exists() and hasattr(os, "fchmod"):
                os.fchmod(handle, real.stat().st_mode & 0o7777)
        finally:
            if not locked:  # Windows renames no open file
                os.close(handle)
        _put(temporary, real, create)
        placed = True
        sync_folder(real.parent)
    finally:
        if not placed:  # still locked: no other process has written there
            temporary.unlink(missing_ok=True)
        untrack(handle)
        if locked:
            os.close(handle)


def _begin(real: Path) -> tuple[Path, int, bool]:
    """The temporary file of `real`, its descriptor, open to be written, and whether it is locked."""
    temporary = temporary_of(real)
    handle = open_locked(temporary)
    if handle is not None:
        return temporary, handle, True
    temporary = temporary.with_name(f".{os.getpid()}-{threading.get_ident()}{temporary.name}")  # no other writer's
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    return temporary, os.open(temporary, flags, 0o666), False


def _put(temporary: Path, real: Path, create: bool) -> None:
    if not create:
        os.replace(temporary, real)
        return
    try:
        os.link(temporary, real)
        temporary.unlink()
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        os.replace(temporary, real)


def write_bytes(path: Path, content: bytes, *, create: bool = False) -> None:
    """Write `content` to `path` in one step.

    Raises UsageError with `create` when there is a file already, InputError when `path` cannot be written,
    ResumableStop when the disk is full.
    """
    try:
        with open_atomic(path, create=create) as file:
            file.write(content)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already.", hint="--overwrite replaces it.") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def write_text(path: Path, text: str, *, create: bool = False) -> None:
    """Write `text` as UTF-8 to `path` in one step; what UTF-8 cannot hold is escaped. Raises as `write_bytes`."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"), create=create)


def write_with_newline(path: Path, text: str) -> None:
    """Write `text` and a line end to `path` in one step. Raises as `write_bytes`."""
    write_text(path, text + "\n")


def check_writable(path: Path) -> None:
    """Raise InputError or ResumableStop when `path` cannot be written, before work that would be lost is begun.
    Raises UsageError for a name or a folder that other commands of ocrctl use."""
    refuse_file_name(path)
    try:
        _make_parent(path)
        if _is_special(path):
            return
        temporary, handle, locked = _begin(Path(os.path.realpath(path)))
        if not locked:
            os.close(handle)
        temporary.unlink(missing_ok=True)
        if locked:
            untrack(handle)
            os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error


class PartFile:
    """A text file that grows as PATH.part and becomes PATH when the block ends well.

    When the block is left by an exception (Ctrl-C too), PATH.part stays with every line written so far, and an older
    PATH is untouched; after `discard` an older PATH stays too, and no PATH.part. What UTF-8 cannot hold, a file name of
    other bytes, is written as \\udcXX, in a JSON string its very escape. The caller holds the lock of the folder.
    Raises InputError when the path cannot be written, ResumableStop when the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = _part_of(path)
        self._file: TextIO | None = None
        self._keep = True

    def __enter__(self) -> PartFile:
        refuse_file_name(self.path)
        try:
            _make_parent(self.path)
            opener = None if self.part == self.path else no_link
            self._file = open(self.part, "w", encoding="utf-8", errors="backslashreplace", newline="\n", opener=opener)
        except OSError as error:
            raise cannot_write(self.part, error) from error
        return self

    def write(self, line: str) -> None:
        """Append one line."""
        assert self._file is not None
        try:
            self._file.write(line + "\n")
        except OSError as error:
            raise cannot_write(self.part, error) from error

    def discard(self) -> None:
        """Leave an older PATH as it is when the block ends, and no PATH.part."""
        self._keep = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        try:
            with self._file as file:
                file.flush()
                if self.part != self.path:
                    os.fsync(file.fileno())
            if self.part == self.path:
                return
            if not self._keep:
                self.part.unlink()
            elif kind is None:
                os.replace(self.part, os.path.realpath(self.path))
        except OSError as failure:
            if kind is None:  # else what ended the block is the better news
                raise cannot_write(self.part, failure) from failure


def no_link(path: str, flags: int) -> int:
    """An opener for `open` that follows no link. Raises OSError at one."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _part_of(path: Path) -> Path:
    """Where the lines of `path` grow: beside the file that a link leads to. A device or a pipe is written itself."""
    if _is_special(path):
        return path
    real = Path(os.path.realpath(path))
    return real.with_name(real.name + ".part")


def _is_special(path: Path) -> bool:
    """Whether `path` exists and is neither a file nor a folder: nothing may be renamed over it."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # a file has the name of the folder: `path` itself does not exist
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
