"""Annotation formats, one file each. To add one: write its file, name it in `_MODULES` or `_DETECTION_MODULES`.

Plug-ins import `Keeps`, `Rendered` and the other public names (docs/reference/formats.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Literal, cast

from ocrctl.config.suggest import did_you_mean
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
    sroie,
    totaltext,
    words_json,
)
from ocrctl.data.formats._cache import cached, cached_lookups
from ocrctl.data.formats._detection import Keeps, Rendered, box_points
from ocrctl.data.formats._images import LABEL_SUFFIXES, image_stem, label_paths, listing
from ocrctl.data.formats._plugins import is_pages, plugin, plugin_names, plugins
from ocrctl.data.formats._text import IMAGE_SUFFIX, WordKeeps
from ocrctl.data.formats.protocols import CharacterFormat, DetectionFormat, EditableFormat, Format
from ocrctl.errors import InputError, UsageError
from ocrctl.shell import shell_quote

__all__ = [
    "DETECTION_FORMATS", "FORMATS", "IMAGE_SUFFIX", "CharacterFormat", "DetectionFormat", "EditableFormat", "Format",
    "Keeps", "Rendered", "WordKeeps", "box_points", "cached_lookups", "content_kind", "detect", "detect_pages",
    "detect_plugin_pages", "format_names", "image_stem", "label_file", "label_paths", "page_format",
    "word_format", "word_sets",
]  # fmt: skip


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
    sroie,
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


def content_kind(name: str) -> Literal["words", "pages"] | None:
    """Return what the format called `name` holds, built in or plugged in; None when there is no such format.

    Raises UsageError when its plug-in is broken.
    """
    if name in FORMATS or name in DETECTION_FORMATS:
        return "words" if name in FORMATS else "pages"
    found = plugin(name, _names())
    return None if found is None else "pages" if is_pages(found) else "words"


def word_format(name: str) -> Format:
    """Return the format of word images called `name`. Raises UsageError when there is none or its plug-in is broken."""
    if content_kind(name) != "words":
        raise _unfit(name, "word images", FORMATS)
    return FORMATS.get(name) or cast(Format, plugin(name, _names()))


def page_format(name: str) -> DetectionFormat:
    """Return the format of pages with polygons called `name`. Raises as `word_format` does."""
    if content_kind(name) != "pages":
        raise _unfit(name, "pages with polygons", DETECTION_FORMATS)
    return DETECTION_FORMATS.get(name) or cast(DetectionFormat, plugin(name, _names()))


def format_names() -> list[str]:
    """Return the prefixes of a SPEC: built-in names, then those of plug-ins."""
    return list(dict.fromkeys([*_names(), *plugin_names()]))


def detect(path: Path) -> tuple[Format, Path]:
    """Detect the format and label file of `path`, a label file or its folder; plug-ins are tried last.

    Raises UsageError when several fit, with a SPEC for each; InputError when none does.
    """
    found = word_sets(path) or word_sets(path, [words for words in plugins(_names()) if not is_pages(words)])
    if not found:
        kinds = ", ".join(f"{words.NAME} ({words.LABEL_FILES[0]})" for words in FORMATS.values())
        if detect_pages(path):
            raise InputError(
                f"{path}: holds pages with polygons, expected word images.",
                hint=f"crop the words: ocrctl dataset crop {shell_quote(path)} words.lmdb",
            )
        raise InputError(f"{path}: found no word annotations in it.", hint=f"Formats: {kinds}.")
    if len(found) > 1:
        specs = ", ".join(f"{words.NAME}:{file}" for words, file in found[:8])
        raise UsageError(
            f"{path}: {len(found)} sets of word annotations fit, expected one.", hint=f"Name one: {specs}."
        )
    return found[0]


def word_sets(path: Path, formats: Iterable[Format] = FORMATS.values()) -> list[tuple[Format, Path]]:
    """Return every set of word images at or in `path`, with its label file."""
    return [(words, file) for words in formats for file in _candidates(path, words.LABEL_FILES) if words.sniff(file)]


def label_file(words: Format, path: Path) -> Path:
    """Return the label file of a known format: `path` itself, or the one in the folder `path`.

    Raises UsageError when there are several, InputError when there is none.
    """
    if path.is_file():
        return path
    found = [file for _, file in word_sets(path, [words])]
    if not found:  # read a broken file, so that the error names its line
        found = [file for pattern in words.LABEL_FILES for file in sorted(path.glob(pattern))][:1]
    if not found:
        names = ", ".join(words.LABEL_FILES)
        raise InputError(f"{path}: expected a label file of format {words.NAME} ({names}), found none.")
    if len(found) > 1:
        names = ", ".join(f"{words.NAME}:{file}" for file in found[:8])
        raise UsageError(f"{path}: {len(found)} label files fit, expected one.", hint=f"Name one: {names}.")
    return found[0]


def detect_pages(
    path: Path, formats: Iterable[DetectionFormat] = DETECTION_FORMATS.values()
) -> list[tuple[DetectionFormat, Path]]:
    """Return every detection format that fits `path`, with the label file or the folder of label files to read.

    In a folder, its files are tried; for formats with one file per image, the folder and its subfolders.
    """
    found: list[tuple[DetectionFormat, Path]] = []
    for pages in formats:
        candidates = cached(_folders, path) if pages.PER_IMAGE else _candidates(path, pages.LABEL_FILES)
        fitting = [candidate for candidate in candidates if pages.sniff(candidate)]
        found += [(pages, candidate) for candidate in (fitting[:1] if fitting[:1] == [path] else fitting)]
    return found


def detect_plugin_pages(path: Path) -> list[tuple[DetectionFormat, Path]]:
    """Detect page formats as `detect_pages`, of plug-ins alone."""
    return detect_pages(path, [pages for pages in plugins(_names()) if is_pages(pages)])


def _names() -> list[str]:
    return [*FORMATS, *DETECTION_FORMATS]


def _unfit(name: str, what: str, built_in: Iterable[str]) -> UsageError:
    known = [*built_in, *plugin_names()]
    return UsageError(
        f"{name!r} is not a format of {what}.{did_you_mean(name, known)}", hint=f"Formats: {', '.join(known)}."
    )


def _folders(path: Path) -> list[Path]:
    """Return the candidates of a format with one file per image: `path`, and the folders in it."""
    return [path] if cached(Path.is_file, path) else [path, *(path / name for name in listing(path).folders)]


def _candidates(path: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the candidates of a format with one label file: `path`, or the files in it that may be one."""
    odd = [pattern for pattern in patterns if not pattern.lower().endswith(LABEL_SUFFIXES)]  # of a plug-in
    if not odd or cached(Path.is_file, path):
        return cached(_label_files, path)
    names = listing(path)
    chosen = set(names.labels) | {name for name in names.files if any(fnmatchcase(name, one) for one in odd)}
    return [path / name for name in sorted(chosen)]


def _label_files(path: Path) -> list[Path]:
    return [path] if cached(Path.is_file, path) else [path / name for name in listing(path).labels]
