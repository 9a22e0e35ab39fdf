"""Interfaces of the formats, built in or plugged in: word images, or pages with polygons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats._detection import Keeps, Rendered
from ocrctl.data.formats._text import WordKeeps
from ocrctl.data.lmdb.word_source import FolderWords, WordSource
from ocrctl.data.polygons.columns import Floats


class Format(Protocol):
    """A format of word images."""

    NAME: str  # the prefix in FORMAT:PATH
    LABEL_FILES: tuple[str, ...]  # glob patterns of its usual label files, most usual first
    KEEPS: WordKeeps

    def sniff(self, path: Path) -> bool:
        """Return whether the content of the label file `path` is of this format."""

    def read(self, path: Path) -> WordSource:
        """Read the samples of the label file `path`. InputError names file:line and what was expected."""

    def write(self, samples: Iterable[tuple[bytes, str]], out: Path, *names: Sequence[str]) -> Path:
        """Write (encoded image, label) pairs into the new folder `out`. Returns the path that `read` takes.

        With KEEPS.names it takes a third argument, the path of each image below the folder of images.
        """


@runtime_checkable
class EditableFormat(Format, Protocol):
    """A format of word images whose label file can be changed in place; others are only copied."""

    def edit(self, words: FolderWords, changes: Mapping[int, str | None]) -> bytes:
        """Return the label file of `words` with the text of each sample in `changes` replaced, or the sample removed
        (None). Raises InputError when the file can no longer be read."""


class DetectionFormat(Protocol):
    """A format of pages with polygons."""

    NAME: str
    LABEL_FILES: tuple[str, ...]
    PER_IMAGE: bool  # one label file per image, read from a folder of them
    KEEPS: Keeps

    def sniff(self, path: Path) -> bool:
        """Return whether the content of the label file, or folder of label files, `path` is of this format."""

    def read(self, path: Path) -> Annotations:
        """Read all annotations. InputError names file:line and what was expected."""

    def render(self, data: Annotations) -> Iterator[Rendered]:
        """Render the label files of `data`, which was fitted to KEEPS."""


@runtime_checkable
class CharacterFormat(DetectionFormat, Protocol):
    """A format of pages that also holds a quad for each character of a word."""

    def characters(self, data: Annotations, index: int) -> Floats:
        """Return the quads (c, 4, 2) of the characters of instance `index`; none where it has no quads. Raises
        InputError naming the instance when they are malformed."""
