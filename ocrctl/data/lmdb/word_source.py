"""Interface of sources of labelled word images, and the source whose images are files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ocrctl.config.limits import limit
from ocrctl.data.lmdb.label_text import read_label_text
from ocrctl.data.polygons.malformed import Malformed
from ocrctl.errors import InputError
from ocrctl.files.regular import read_regular

_POSIX = os.sep == "/"


class WordSource(Protocol):
    """Labelled word images with random access. Can be pickled, holds no open handles, safe in worker processes."""

    @property
    def name(self) -> str:
        """Return the path it was read from."""

    @property
    def labels(self) -> Sequence[str]:
        """Return the NFC text of every sample."""

    def __len__(self) -> int: ...

    def image_bytes(self, index: int) -> bytes:
        """Read the encoded image file. Raises InputError when it cannot be read."""

    def where(self, index: int) -> str:
        """Return the location of the sample for error messages: `dir/gt.txt:17 (word_17.png)`."""


@dataclass(frozen=True, slots=True)
class FolderWords:
    """Image files and the label file that lists them."""

    label_file: str
    root: str  # folder that `files` are relative to
    files: list[str]
    labels: list[str]  # NFC
    lines: list[int] | None = None  # 1-based line of each sample in `label_file`; None where the format has no lines
    written: list[str] | None = None  # texts as written in the file; None where all of them are NFC
    malformed: dict[int, Malformed] | None = None  # samples whose entry cannot be read; their texts are empty

    @property
    def name(self) -> str:
        return self.label_file

    @property
    def texts(self) -> list[str]:
        """Return the texts as written in the file."""
        return self.labels if self.written is None else self.written

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> str:
        """Return the path of image `index`."""
        file = self.files[index]
        if not _POSIX or file[:1] == "/" or self.root[-1:] in ("", "/"):
            return os.path.join(self.root, file)
        return f"{self.root}/{file}"  # as join does, in a fifth of its time

    def image_bytes(self, index: int) -> bytes:
        """Read the encoded image file. Raises InputError naming the label line when it is missing or unreadable."""
        path = self.path(index)
        try:
            return read_regular(path, limit("data.max_image_bytes"))
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise InputError(f"{self.where(index)}: {_unreadable(path, error)}.") from error

    def where(self, index: int) -> str:
        location = self.label_file if self.lines is None else f"{self.label_file}:{self.lines[index]}"
        return f"{location} ({self.files[index]})"


@dataclass(frozen=True, slots=True)
class SelectedWords:
    """A subset of another source, with its own texts."""

    source: WordSource
    indices: list[int]
    labels: list[str]

    @property
    def name(self) -> str:
        return self.source.name

    def __len__(self) -> int:
        return len(self.indices)

    def image_bytes(self, index: int) -> bytes:
        return self.source.image_bytes(self.indices[index])

    def where(self, index: int) -> str:
        return self.source.where(self.indices[index])


def _unreadable(path: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"the image {path} is missing"
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return f"the image {path!r} cannot be read ({reason})"


def image_path(text: str) -> str:
    """Convert a path from a label file to this system's form: Windows separators become '/'."""
    return text.replace("\\", "/")


def read_unix_text(path: str | Path) -> str:
    """Read a UTF-8 label file with \\n as its line ends, without a BOM. Raises as `read_label_text`."""
    text = read_label_text(path)
    return text.replace("\r\n", "\n").removesuffix("\r") if "\r" in text else text


def read_lines(path: Path) -> list[str]:
    """Read the lines of a UTF-8 label file, without line ends, BOM and CR. Raises as `read_label_text`.

    Only \\n ends a line: str.splitlines would also split at U+2028, U+0085 and others that a label may hold.
    """
    lines = read_unix_text(path).split("\n")
    if lines[-1] == "":
        del lines[-1]
    return lines
