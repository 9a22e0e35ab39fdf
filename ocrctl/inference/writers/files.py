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
    PATH is untouched. Raises InputError when the place cannot be written, ResumableStop when the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self._file: TextIO | None = None

    def __enter__(self) -> PartFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.part.open("w", encoding="utf-8", newline="\n")
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        try:
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
            if kind is None:
                os.replace(self.part, self.path)
        except OSError as failure:
            if kind is None:  # else what ended the block is the better news
                raise cannot_write(self.part, failure) from failure


def write_atomic(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` in one step. Raises InputError or ResumableStop when the place cannot take it."""
    with PartFile(path) as file:
        file.write(text)
