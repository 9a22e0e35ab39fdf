"""Reference to a data set that was found but not read yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocrctl.data.annotations.builder import from_words
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats import DETECTION_FORMATS, FORMATS, DetectionFormat, Format
from ocrctl.data.lmdb.word_source import FolderWords, WordSource
from ocrctl.data.polygons.malformed import raise_malformed
from ocrctl.errors import InputError
from ocrctl.files.journal import has_unfinished_change
from ocrctl.shell import shell_quote


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A finite set of annotations: its path and its format, one of `pages` and `words`."""

    pages: DetectionFormat | None
    words: Format | None
    path: Path  # the label file, or the folder of label files
    raw: str  # the SPEC

    @property
    def built_in(self) -> bool:
        """Return whether its format is built in."""
        return any(self.pages is pages for pages in DETECTION_FORMATS.values()) or any(
            self.words is words for words in FORMATS.values()
        )

    @property
    def folder(self) -> Path:
        """Return the folder of the label files, where `dataset clean` keeps its journal."""
        return self.path if self.path.is_dir() else self.path.parent

    def source(self) -> WordSource:
        """Read word images. Raises InputError when they cannot be read, hold malformed samples, or a `dataset clean` of
        them was interrupted."""
        source = self._words()
        if isinstance(source, FolderWords) and source.malformed:
            raise_malformed(source.name, source.malformed, source.where(min(source.malformed)), self._hint())
        return source

    def _words(self) -> WordSource:
        assert self.words is not None
        self._check_complete()
        source = self.words.read(self.path)
        if len(source) == 0:
            raise InputError(f"{self.path}: holds no samples.")
        return source

    def annotations(self, *, malformed: bool = False) -> Annotations:
        """Read all annotations as one columnar index. Raises as `source` does; with `malformed`, malformed instances
        are part of the index instead."""
        if self.pages is None:
            data = from_words(self._words())
        else:
            self._check_complete()
            data = self.pages.read(self.path)
        if data.malformed and not malformed:
            raise_malformed(data.name, data.malformed, data.where(min(data.malformed)), self._hint())
        return data

    def _hint(self) -> str:
        spec = shell_quote(self.raw)
        return f"ocrctl dataset validate {spec} lists them, ocrctl dataset clean {spec} --remove-bad removes them"

    def _check_complete(self) -> None:
        """Raise InputError when the labels are half old and half new."""
        if has_unfinished_change(self.folder):
            raise InputError(
                f"{self.folder}: a `dataset clean` of it is running or was interrupted.",
                hint="when none is running: repeat the same `dataset clean` to finish it, "
                f"or ocrctl dataset undo {shell_quote(self.raw)} to revert it",
            )
