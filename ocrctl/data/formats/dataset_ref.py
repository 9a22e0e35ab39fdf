"""A data set that was found and is not read yet."""

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
    """Where a finite set of annotations lies, and what reads it: one of `pages` and `words`."""

    pages: DetectionFormat | None
    words: Format | None
    path: Path  # the label file, or the folder of label files
    raw: str  # the SPEC

    @property
    def built_in(self) -> bool:
        """Whether no plug-in reads it."""
        return any(self.pages is pages for pages in DETECTION_FORMATS.values()) or any(
            self.words is words for words in FORMATS.values()
        )

    @property
    def folder(self) -> Path:
        """The folder of the label files, where `dataset clean` keeps its journal."""
        return self.path if self.path.is_dir() else self.path.parent

    def source(self) -> WordSource:
        """Word images. Raises InputError when they cannot be read, hold malformed samples, or a `dataset clean` of them
        was cut short."""
        source = self._words()
        if isinstance(source, FolderWords) and source.malformed:
            raise_malformed(source.name, source.malformed, source.where(min(source.malformed)), self._hint())
        return source

    def _words(self) -> WordSource:
        assert self.words is not None
        self._whole()
        source = self.words.read(self.path)
        if len(source) == 0:
            raise InputError(f"{self.path}: holds no samples.")
        return source

    def annotations(self, *, malformed: bool = False) -> Annotations:
        """All of it as one columnar index. Raises as `source` does; with `malformed`, instances that cannot be read are
        in the index as such."""
        if self.pages is None:
            data = from_words(self._words())
        else:
            self._whole()
            data = self.pages.read(self.path)
        if data.malformed and not malformed:
            raise_malformed(data.name, data.malformed, data.where(min(data.malformed)), self._hint())
        return data

    def _hint(self) -> str:
        spec = shell_quote(self.raw)
        return f"ocrctl dataset validate {spec} lists them, ocrctl dataset clean {spec} --remove-bad takes them out"

    def _whole(self) -> None:
        """A half of the old labels with a half of the new ones is no set to read."""
        if has_unfinished_change(self.folder):
            raise InputError(
                f"{self.folder}: a `dataset clean` of it is under way, or was stopped half way.",
                hint="once none runs any more: the same `dataset clean` again finishes it, "
                f"ocrctl dataset undo {shell_quote(self.raw)} takes it back",
            )
