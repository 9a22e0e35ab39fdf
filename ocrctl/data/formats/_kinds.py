"""What a format offers, built in or plugged in: word images, or pictures with polygons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats._detection import Keeps, Rendered
from ocrctl.data.formats._text import WordKeeps
from ocrctl.data.lmdb.word_source import WordSource


class Format(Protocol):
    """A format of word images."""

    NAME: str  # the prefix in FORMAT:PATH
    LABEL_FILES: tuple[str, ...]  # glob patterns of its usual label files, most usual first
    KEEPS: WordKeeps

    def sniff(self, path: Path) -> bool:
        """Whether the label file `path` is of this format, judged by its content."""

    def read(self, path: Path) -> WordSource:
        """Samples of the label file `path`; InputError names file:line and what was expected."""

    def write(self, samples: Iterable[tuple[bytes, str]], out: Path, *names: Sequence[str]) -> Path:
        """Write (encoded image, label) pairs into the new folder `out`; returns what `read` takes.

        With KEEPS.names it takes a third argument, the path of each image below the folder of images.
        """


class DetectionFormat(Protocol):
    """A format of pictures with polygons."""

    NAME: str
    LABEL_FILES: tuple[str, ...]
    PER_IMAGE: bool  # one label file a picture, read from a folder of them
    KEEPS: Keeps

    def sniff(self, path: Path) -> bool:
        """Whether the label file, or the folder of label files, `path` is of this format, judged by its content."""

    def read(self, path: Path) -> Annotations:
        """All annotations; InputError names file:line and what was expected."""

    def render(self, data: Annotations) -> Iterator[Rendered]:
        """The label files of `data`, which was made to fit KEEPS."""
