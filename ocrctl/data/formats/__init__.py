"""Annotation formats, one file each. To add one: write its file, name it in `FORMATS`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from ocrctl.data.formats import (
    doctr_words,
    icdar_words,
    lmdb_words,
    mmocr_json,
    mmocr_jsonl,
    paddleocr_rec,
    space_tags,
)
from ocrctl.data.words import WordSource
from ocrctl.errors import InputError, UsageError


class Format(Protocol):
    """What each module of this package offers."""

    NAME: str  # the prefix in FORMAT:PATH
    LABEL_FILES: tuple[str, ...]  # glob patterns of its usual label files, most usual first

    def sniff(self, path: Path) -> bool:
        """Whether the label file `path` is of this format, judged by its content."""

    def read(self, path: Path) -> WordSource:
        """Samples of the label file `path`; InputError names file:line and what was expected."""

    def write(self, samples: Iterable[tuple[bytes, str]], out: Path) -> Path:
        """Write (encoded image, label) pairs into the new folder `out`; returns what `read` takes."""


_MODULES: tuple[ModuleType, ...] = (
    paddleocr_rec,
    icdar_words,
    space_tags,
    mmocr_jsonl,
    mmocr_json,
    doctr_words,
    lmdb_words,
)
FORMATS: dict[str, Format] = {module.NAME: cast(Format, module) for module in _MODULES}

_SUFFIXES = (".txt", ".json", ".jsonl", ".lst", ".tsv", ".mdb")


def detect(path: Path) -> tuple[Format, Path]:
    """The format and label file of `path`, a label file or the folder it lies in.

    Raises UsageError when several fit, naming each as the SPEC that picks it; InputError when none does.
    """
    found = [(words, file) for file in _candidates(path) for words in FORMATS.values() if words.sniff(file)]
    if not found:
        kinds = ", ".join(f"{words.NAME} ({words.LABEL_FILES[0]})" for words in FORMATS.values())
        raise InputError(f"{path}: found no word annotations in it.", hint=f"Formats: {kinds}.")
    if len(found) > 1:
        specs = ", ".join(f"{words.NAME}:{file}" for words, file in found[:8])
        raise UsageError(
            f"{path}: {len(found)} sets of word annotations fit, expected one.", hint=f"Name one: {specs}."
        )
    return found[0]


def label_file(words: Format, path: Path) -> Path:
    """The label file of a known format: `path` itself, or the one within the folder `path`.

    Raises UsageError when several lie there, InputError when none does.
    """
    if path.is_file():
        return path
    found = [file for file in _candidates(path) if words.sniff(file)]
    if not found:  # a broken file should be read, so that the error names its line
        found = [file for pattern in words.LABEL_FILES for file in sorted(path.glob(pattern))][:1]
    if not found:
        names = ", ".join(words.LABEL_FILES)
        raise InputError(f"{path}: expected a label file of format {words.NAME} ({names}), found none.")
    if len(found) > 1:
        names = ", ".join(f"{words.NAME}:{file}" for file in found[:8])
        raise UsageError(f"{path}: {len(found)} label files fit, expected one.", hint=f"Name one: {names}.")
    return found[0]


def _candidates(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
