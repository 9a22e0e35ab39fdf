"""Annotation formats, one file each. To add one: write its file, name it in `FORMATS`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from ocrctl.data.annotations import Annotations
from ocrctl.data.formats import (
    aihub,
    cleval_zip,
    coco_text,
    doctr_det,
    doctr_words,
    funsd,
    icdar13,
    icdar15,
    icdar_words,
    labelme,
    lmdb_words,
    mmocr_det,
    mmocr_json,
    mmocr_jsonl,
    paddleocr_det,
    paddleocr_rec,
    space_tags,
    totaltext,
    words_json,
)
from ocrctl.data.formats._detection import Keeps, Rendered
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


class DetectionFormat(Protocol):
    """What each module of this package offers that holds pictures with polygons."""

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


_MODULES: tuple[ModuleType, ...] = (
    paddleocr_rec,
    icdar_words,
    space_tags,
    mmocr_jsonl,
    mmocr_json,
    doctr_words,
    lmdb_words,
)
_DETECTION_MODULES: tuple[ModuleType, ...] = (
    paddleocr_det,
    icdar13,
    icdar15,
    totaltext,
    mmocr_det,
    doctr_det,
    coco_text,
    words_json,
    labelme,
    aihub,
    funsd,
    cleval_zip,
)
FORMATS: dict[str, Format] = {module.NAME: cast(Format, module) for module in _MODULES}
DETECTION_FORMATS: dict[str, DetectionFormat] = {
    module.NAME: cast(DetectionFormat, module) for module in _DETECTION_MODULES
}

_SUFFIXES = (".txt", ".json", ".jsonl", ".lst", ".tsv", ".mdb", ".zip")


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


def detect_pages(path: Path) -> list[tuple[DetectionFormat, Path]]:
    """Every detection format that fits `path`, with the label file or the folder of label files to read.

    Of a folder, its files and, for formats of one file a picture, the folder itself and those within it are looked at.
    """
    found: list[tuple[DetectionFormat, Path]] = []
    for pages in DETECTION_FORMATS.values():
        if path.is_file():
            places = [path]
        elif pages.PER_IMAGE:
            places = [path, *sorted(entry for entry in path.iterdir() if entry.is_dir())]
        else:
            places = _candidates(path)
        fitting = [place for place in places if pages.sniff(place)]
        found += [(pages, place) for place in (fitting[:1] if fitting[:1] == [path] else fitting)]
    return found


def _candidates(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
