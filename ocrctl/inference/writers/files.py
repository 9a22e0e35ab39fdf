"""Files that are either the old state or the new one: written under a temporary name, synced, renamed."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TextIO

from ocrctl.errors import InputError


class PartFile:
    """A text file that grows as PATH.part and becomes PATH when the block ends well.

    When the block is left by an exception (Ctrl-C too), PATH.part stays with every line written so far, and an older
    PATH is untouched. Raises InputError when the place cannot be written.
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
            raise InputError(f"{self.part}: cannot be written ({error.strerror}).") from error
        return self

    def write(self, line: str) -> None:
        """Append one line."""
        assert self._file is not None
        self._file.write(line + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())
        if kind is None:
            os.replace(self.part, self.path)


def write_atomic(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` in one step. Raises InputError when the place cannot be written."""
    with PartFile(path) as file:
        file.write(text)
