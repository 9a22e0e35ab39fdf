"""Annotation formats, one file each. To add one: write its file, name it in `_MODULES` or `_DETECTION_MODULES`.

`Keeps`, `Rendered` and what is not underscored here is what plug-ins import (docs/reference/formats.md).
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
    """What the format called `name` holds, built in or plugged in; None: there is no such format.

    Raises UsageError when its plug-in is broken.
    """
    if name in FORMATS or name in DETECTION_FORMATS:
        return "words" if name in FORMATS else "pages"
    found = plugin(name, _names())
    return None if found is None else "pages" if is_pages(found) else "words"


def word_format(name: str) -> Format:
    """The format of word images called `name`. Raises UsageError when there is none, or its plug-in is broken."""
    if content_kind(name) != "words":
        raise _unfit(name, "word images", FORMATS)
    return FORMATS.get(name) or cast(Format, plugin(name, _names()))


def page_format(name: str) -> DetectionFormat:
    """The format of pages with polygons called `name`. Raises as `word_format` does."""
    if content_kind(name) != "pages":
        raise _unfit(name, "pages with polygons", DETECTION_FORMATS)
    return DETECTION_FORMATS.get(name) or cast(DetectionFormat, plugin(name, _names()))


def format_names() -> list[str]:
    """What may stand before the colon of a SPEC: built-in names, then those of plug-ins."""
    return list(dict.fromkeys([*_names(), *plugin_names()]))


def detect(path: Path) -> tuple[Format, Path]:
    """The format and label file of `path`, a label file or the folder it lies in; plug-ins are asked last.

    Raises UsageError when several fit, naming each as the SPEC that picks it; InputError when none does.
    """
    found = word_sets(path) or word_sets(path, [words for words in plugins(_names()) if not is_pages(words)])
    if not found:
        kinds = ", ".join(f"{words.NAME} ({words.LABEL_FILES[0]})" for words in FORMATS.values())
        if detect_pages(path):
            raise InputError(
                f"{path}: holds pages with polygons, here pictures of words are expected.",
                hint=f"cut the words out: ocrctl dataset crop {shell_quote(path)} words.lmdb",
            )
        raise InputError(f"{path}: found no word annotations in it.", hint=f"Formats: {kinds}.")
    if len(found) > 1:
        specs = ", ".join(f"{words.NAME}:{file}" for words, file in found[:8])
        raise UsageError(
            f"{path}: {len(found)} sets of word annotations fit, expected one.", hint=f"Name one: {specs}."
        )
    return found[0]


def word_sets(path: Path, formats: Iterable[Format] = FORMATS.values()) -> list[tuple[Format, Path]]:
    """Every set of word images at or in `path`, with its label file."""
    return [(words, file) for words in formats for file in _candidates(path, words.LABEL_FILES) if words.sniff(file)]


def label_file(words: Format, path: Path) -> Path:
    """The label file of a known format: `path` itself, or the one within the folder `path`.

    Raises UsageError when several lie there, InputError when none does.
    """
    if path.is_file():
        return path
    found = [file for _, file in word_sets(path, [words])]
    if not found:  # a broken file should be read, so that the error names its line
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
    """Every detection format that fits `path`, with the label file or the folder of label files to read.

    Of a folder, its files and, for formats of one file a picture, the folder itself and those within it are looked at.
    """
    found: list[tuple[DetectionFormat, Path]] = []
    for pages in formats:
        places = cached(_folders, path) if pages.PER_IMAGE else _candidates(path, pages.LABEL_FILES)
        fitting = [place for place in places if pages.sniff(place)]
        found += [(pages, place) for place in (fitting[:1] if fitting[:1] == [path] else fitting)]
    return found


def detect_plugin_pages(path: Path) -> list[tuple[DetectionFormat, Path]]:
    """As `detect_pages`, of the plug-ins alone."""
    return detect_pages(path, [pages for pages in plugins(_names()) if is_pages(pages)])


def _names() -> list[str]:
    return [*FORMATS, *DETECTION_FORMATS]


def _unfit(name: str, what: str, built_in: Iterable[str]) -> UsageError:
    known = [*built_in, *plugin_names()]
    return UsageError(
        f"{name!r} is no format of {what}.{did_you_mean(name, known)}", hint=f"Formats: {', '.join(known)}."
    )


def _folders(path: Path) -> list[Path]:
    """The places of a format of one file a picture: `path`, and the folders within it."""
    return [path] if cached(Path.is_file, path) else [path, *(path / name for name in listing(path).folders)]


def _candidates(path: Path, patterns: Sequence[str]) -> list[Path]:
    """The places of a format of one label file: `path`, or the files within it that may be one."""
    odd = [pattern for pattern in patterns if not pattern.lower().endswith(LABEL_SUFFIXES)]  # a plug-in's
    if not odd or cached(Path.is_file, path):
        return cached(_label_files, path)
    names = listing(path)
    chosen = set(names.labels) | {name for name in names.files if any(fnmatchcase(name, one) for one in odd)}
    return [path / name for name in sorted(chosen)]


def _label_files(path: Path) -> list[Path]:
    return [path] if cached(Path.is_file, path) else [path / name for name in listing(path).labels]
