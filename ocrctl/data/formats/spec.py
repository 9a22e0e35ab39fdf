"""Resolve a SPEC of the command line: an existing path, FORMAT:PATH, or synth:words and synth:pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocrctl.config.suggest import did_you_mean, near_path
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats import (
    DETECTION_FORMATS,
    FORMATS,
    DetectionFormat,
    cached_lookups,
    content_kind,
    detect,
    detect_pages,
    detect_plugin_pages,
    format_names,
    label_file,
    page_format,
    word_format,
    word_sets,
)
from ocrctl.data.formats._images import listing
from ocrctl.data.formats.dataset_ref import DatasetRef
from ocrctl.data.lmdb.label_text import LONGEST_LINE, read_label_text
from ocrctl.data.lmdb.word_source import FolderWords, WordSource
from ocrctl.errors import InputError, UsageError
from ocrctl.files.regular import file_kind
from ocrctl.shell import shell_quote

__all__ = [
    "SYNTH",
    "DatasetRef",
    "FolderWords",
    "Spec",
    "WordSource",
    "locate",
    "open_annotations",
    "open_source",
    "parse_spec",
]

SYNTH = ("words", "pages")  # streams of `synth:`


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed SPEC: data at `path` in `format` (None: to be detected), or the stream `synth:name`."""

    format: str | None
    path: Path | None
    name: str | None
    raw: str


def parse_spec(raw: str) -> Spec:
    """Parse a SPEC. An existing path wins over a prefix, so a folder called `lmdb:x` can be named.

    Raises UsageError for an unknown prefix, InputError for a path that does not exist.
    """
    path = Path(raw)
    if raw and path.exists():
        _expect_file_or_folder(path)
        return Spec(None, path, None, raw)
    prefix, colon, rest = raw.partition(":")
    if not colon or len(prefix) < 2:  # one letter is a Windows drive
        near = near_path(raw) if raw else ""
        raise InputError(f"{raw or 'the empty SPEC'}: no such file or folder.{near}", hint=None if near else _GRAMMAR)
    if prefix == "synth":
        if rest not in SYNTH:
            raise UsageError(f"Unknown synthetic stream {raw!r}.{did_you_mean(rest, SYNTH)}", hint=_GRAMMAR)
        return Spec("synth", None, rest, raw)
    if content_kind(prefix) is None:
        known = [*format_names(), "synth"]
        raise UsageError(f"Unknown format {prefix!r} in {raw!r}.{did_you_mean(prefix, known)}", hint=_GRAMMAR)
    if not rest or not Path(rest).exists():
        raise InputError(f"{rest or raw}: no such file or folder.{near_path(rest) if rest else ''}")
    _expect_file_or_folder(Path(rest))
    return Spec(prefix, Path(rest), None, raw)


def _expect_file_or_folder(path: Path) -> None:
    """Raise InputError for a pipe or a device: format detection reads the content more than once."""
    if not path.is_file() and not path.is_dir():
        kind = file_kind(path.stat().st_mode)
        raise InputError(f"{path}: expected a file or a folder, found {kind}.", hint="save its content to a file first")


def expect_stream(spec: Spec, name: str) -> None:
    """Raise UsageError when `spec` is a synthetic stream other than `name`: pages for a recogniser, words for a
    detector."""
    if spec.name not in (None, name):
        raise UsageError(f"{spec.raw}: expected {name}, not {spec.name}.", hint=f"synth:{name}")


def open_source(spec: Spec | str) -> WordSource:
    """Open a finite source of word images. Without a format it is detected from the content.

    Raises UsageError when several formats or label files fit (naming each) or for a synthetic stream, which is
    endless; InputError naming file and line when the data cannot be read.
    """
    if isinstance(spec, str):
        spec = parse_spec(spec)
    if spec.path is None:
        raise UsageError(f"{spec.raw} is an endless stream, expected a finite set of labelled words.")
    if spec.format is not None and content_kind(spec.format) == "pages":
        raise UsageError(
            f"{spec.raw}: {spec.format} holds pages with polygons, expected word images.",
            hint=f"ocrctl dataset crop {shell_quote(spec.raw)} OUT",
        )
    with cached_lookups():
        located = _locate_words(spec, spec.path)
    return located.source()


def _locate_words(spec: Spec, path: Path) -> DatasetRef:
    if spec.format is None:
        words, file = detect(path)
    else:
        words = word_format(spec.format)
        file = label_file(words, path)
    return DatasetRef(None, words, file, spec.raw)


DERIVED = ("rec_gt", "fileState")  # PPOCRLabel writes them beside Label.txt


def open_annotations(spec: Spec | str, *, malformed: bool = False) -> Annotations:
    """Open pages with polygons, or word images, as one columnar index. Without a format it is detected from the
    content.

    Raises UsageError when several formats fit (naming each), InputError naming file and line when it cannot be read or,
    unless `malformed` keeps them in the index, when an instance is malformed.
    """
    with cached_lookups():
        located = locate(spec)
        if located.built_in:
            return located.annotations(malformed=malformed)
    return located.annotations(malformed=malformed)  # outside the cache: a plug-in may unpack files and then read them


def locate(spec: Spec | str) -> DatasetRef:
    """Find the annotations of `spec` and their format. Raises as `open_annotations` does."""
    if isinstance(spec, str):
        spec = parse_spec(spec)
    if spec.path is None:
        raise UsageError(f"{spec.raw} is an endless stream, expected a finite set of annotations.")
    with cached_lookups():
        return _locate(spec, spec.path)


def _locate(spec: Spec, path: Path) -> DatasetRef:
    if spec.format is not None and content_kind(spec.format) == "words":
        return _locate_words(spec, path)
    if spec.format is not None:
        pages = page_format(spec.format)
        candidates = [candidate for _, candidate in detect_pages(path, [pages])] or [_usual(pages, path)]
        _expect_one(path, [f"{pages.NAME}:{candidate}" for candidate in candidates])
        return DatasetRef(pages, None, candidates[0], spec.raw)
    found = detect_pages(path)
    if not found and not word_sets(path):
        found = detect_plugin_pages(path)
    if not found:
        return _only_words(spec, path)
    specs = [f"{pages.NAME}:{candidate}" for pages, candidate in found]
    if len(found) == 1 and path.is_dir():
        taken = found[0][1]
        others = [(words.NAME, file) for words, file in word_sets(path) if file != taken]
        specs += [f"{words}:{file}" for words, file in others if not file.name.startswith(DERIVED)]
    _expect_one(path, specs)
    return DatasetRef(found[0][0], None, found[0][1], spec.raw)


def _only_words(spec: Spec, path: Path) -> DatasetRef:
    """Find word images, when no format of pages fits. Raises InputError listing the files when no format fits."""
    try:
        return _locate_words(spec, path)
    except InputError as error:
        names = listing(path).labels if path.is_dir() else []
        for file in [path / name for name in names[:4]] or [path]:
            _expect_text(file)
        there = f"; no format fits {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}" if names else ""
        raise InputError(
            f"{path}: found no annotations{there}.", hint=f"FORMAT:PATH reports why a file does not fit. {_GRAMMAR}"
        ) from error


def _expect_text(file: Path) -> None:
    """Raise InputError when a file fits no format because it cannot be read, or is not text."""
    if file.suffix.lower() not in (".zip", ".mdb") and file.is_file() and file.stat().st_size < LONGEST_LINE:
        read_label_text(file)


def _usual(pages: DetectionFormat, path: Path) -> Path:
    """Return the label file, or folder of them, with the usual names: a broken file is read, so that the error names
    the line. Raises InputError when there is none."""
    if path.is_file():
        return path
    within = sorted(entry for entry in path.iterdir() if entry.is_dir()) if pages.PER_IMAGE else []
    for folder in (path, *within):
        for pattern in pages.LABEL_FILES:
            if found := sorted(folder.glob(pattern)):
                return folder if pages.PER_IMAGE else found[0]
    names = ", ".join(pages.LABEL_FILES)
    raise InputError(f"{path}: expected a label file of format {pages.NAME} ({names}), found none.")


def _expect_one(path: Path, specs: list[str]) -> None:
    if len(specs) > 1:
        raise UsageError(
            f"{path}: {len(specs)} sets of annotations fit, expected one.", hint=f"Name one: {', '.join(specs[:8])}."
        )


_GRAMMAR = (
    f"SPEC is a path, FORMAT:PATH, synth:words or synth:pages; formats: {', '.join(FORMATS)}; "
    f"with polygons: {', '.join(DETECTION_FORMATS)}."
)
