"""Files that are either the old state or the new one: written under a temporary name, synced, renamed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import TextIO

from ocrctl.errors import InputError, OcrctlError, ResumableStop


def cannot_write(path: Path, error: OSError) -> OcrctlError:
    """The error to raise for a failed write: a full disk can be mended and the command run again, exit 5."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResumableStop(f"{path}: the disk is full.", hint="free some space and run the command again")
    return InputError(f"{path}: cannot be written ({error.strerror}).")


class PartFile:
    """A text file that grows as PATH.part and becomes PATH when the block ends well.

    When the block is left by an exception (Ctrl-C too), PATH.part stays with every line written so far, and an older
    PATH is untouched; after `discard` an older PATH stays too, and no PATH.part. What UTF-8 cannot hold, a file name of
    other bytes, is written as \\udcXX, in a JSON string its very escape. Raises InputError when the place cannot be
    written, ResumableStop when the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = _part_of(path)
        self._file: TextIO | None = None
        self._keep = True

    def __enter__(self) -> PartFile:
        try:
            _make_place(self.path)
            self._file = self.part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
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


def check_place(path: Path) -> None:
    """Raise InputError or ResumableStop when `path` cannot be written, before work that would be lost is begun."""
    probe = _part_of(path)
    try:
        _make_place(path)
        if probe == path:
            return
        there = probe.exists()
        probe.open("ab").close()
        if not there:
            probe.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def _part_of(path: Path) -> Path:
    """Where the content of `path` grows before it takes its place: beside the file that a link leads to. What is there
    and no file, a device or a pipe, is written itself: nothing may take its place."""
    if path.exists() and not path.is_file() and not path.is_dir():
        return path
    real = Path(os.path.realpath(path))
    return real.with_name(real.name + ".part")


def _make_place(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def write_atomic(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` in one step. Raises InputError or ResumableStop when the place cannot take it."""
    with PartFile(path) as file:
        file.write(text)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` in one step. Raises as `write_atomic`."""
    part = _part_of(path)
    try:
        _make_place(path)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            if part != path:
                os.fsync(file.fileno())
        if part != path:
            os.replace(part, os.path.realpath(path))
    except OSError as error:
        raise cannot_write(path, error) from error
