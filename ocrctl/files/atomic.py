"""Write single files atomically: to a temporary name, synced, then renamed.

The temporary file `.NAME.ocrctl-tmp` beside NAME is locked while it is written: a second writer of the same file waits
for the first, and the leftover of a killed one is overwritten by the next.
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
_MAX_NAME = 200  # bytes of a name within a temporary one; file systems support 255
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EINVAL}


def temporary_of(path: Path) -> Path:
    """Return the temporary name under which `path` is written."""
    name = path.name.encode(errors="surrogateescape")[:_MAX_NAME].decode(errors="ignore")
    return path.with_name(f".{name}{SUFFIX}")


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files of killed processes in `folder`. The caller holds the lock of the folder."""
    for path in folder.glob(f".*{SUFFIX}"):
        path.unlink(missing_ok=True)


@contextmanager
def open_atomic(path: Path, *, create: bool = False) -> Iterator[BinaryIO]:
    """Open a file that becomes `path` (for a link, its target) when the block succeeds, and is removed when it fails.
    A device or a pipe is written directly.

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
    temporary, handle, locked = _open_temporary(real)
    renamed = False
    try:
        try:
            with open(handle, "wb", closefd=False) as file:
                yield file
            os.fsync(handle)
            if real.exists() and hasattr(os, "fchmod"):
                os.fchmod(handle, real.stat().st_mode & 0o7777)
        finally:
            if not locked:  # Windows cannot rename an open file
                os.close(handle)
        _rename(temporary, real, create)
        renamed = True
        sync_folder(real.parent)
    finally:
        if not renamed:  # still locked: no other process has written to it
            temporary.unlink(missing_ok=True)
        untrack(handle)
        if locked:
            os.close(handle)


def _open_temporary(real: Path) -> tuple[Path, int, bool]:
    """Open the temporary file of `real` for writing; returns path, descriptor and whether it is locked."""
    temporary = temporary_of(real)
    handle = open_locked(temporary)
    if handle is not None:
        return temporary, handle, True
    temporary = temporary.with_name(f".{os.getpid()}-{threading.get_ident()}{temporary.name}")  # unique
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    return temporary, os.open(temporary, flags, 0o666), False


def _rename(temporary: Path, real: Path, create: bool) -> None:
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
    """Write `content` to `path` atomically.

    Raises UsageError with `create` when the file exists, InputError when `path` cannot be written,
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
    """Write `text` as UTF-8 to `path` atomically; undecodable characters are escaped. Raises as `write_bytes`."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"), create=create)


def write_with_newline(path: Path, text: str) -> None:
    """Write `text` and a final newline to `path` atomically. Raises as `write_bytes`."""
    write_text(path, text + "\n")


def check_writable(path: Path) -> None:
    """Raise InputError or ResumableStop when `path` cannot be written; call it before long work.

    Raises UsageError for a name or a folder that other commands of ocrctl use.
    """
    refuse_file_name(path)
    try:
        _make_parent(path)
        if _is_special(path):
            return
        temporary, handle, locked = _open_temporary(Path(os.path.realpath(path)))
        if not locked:
            os.close(handle)
        temporary.unlink(missing_ok=True)
        if locked:
            untrack(handle)
            os.close(handle)
    except OSError as error:
        raise cannot_write(path, error) from error


class PartFile:
    """A text file that is written as PATH.part and becomes PATH when the block succeeds.

    After an exception (also Ctrl-C) PATH.part keeps every line written so far, and an older PATH is unchanged; after
    `discard` PATH.part is removed. Undecodable bytes of file names are written as \\udcXX, as JSON escapes them. The
    caller holds the lock of the folder.
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
        """Keep an older PATH when the block ends, and remove PATH.part."""
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
            if kind is None:  # else the exception of the block is more useful
                raise cannot_write(self.part, failure) from failure


def no_link(path: str, flags: int) -> int:
    """Open a path without following links; an opener for `open`. Raises OSError for a link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _part_of(path: Path) -> Path:
    """Return the part file of `path`: beside the target of a link. A device or a pipe is written directly."""
    if _is_special(path):
        return path
    real = Path(os.path.realpath(path))
    return real.with_name(real.name + ".part")


def _is_special(path: Path) -> bool:
    """Return whether `path` exists and is neither a file nor a folder: it must not be replaced by a rename."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # a file has the name of the folder: `path` itself does not exist
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
