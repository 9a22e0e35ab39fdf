"""SPEC on the command line to a source of labelled word images: an existing path, FORMAT:PATH, or synth:words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocrctl.config.suggest import did_you_mean
from ocrctl.data.annotation_builder import from_words
from ocrctl.data.annotations import Annotations
from ocrctl.data.formats import DETECTION_FORMATS, FORMATS, Format, detect, detect_pages, label_file
from ocrctl.data.words import FolderWords, WordSource
from ocrctl.errors import InputError, UsageError

__all__ = ["SYNTH", "FolderWords", "Spec", "WordSource", "open_annotations", "open_source", "parse_spec"]

SYNTH = ("words",)  # what `synth:` can render


@dataclass(frozen=True, slots=True)
class Spec:
    """A parsed SPEC: data at `path` (in `format`, or to be found out when None), or the stream `synth:name`."""

    format: str | None
    path: Path | None
    name: str | None
    raw: str


def parse_spec(raw: str) -> Spec:
    """Parse a SPEC. An existing path wins over a prefix, so a folder called `lmdb:x` stays reachable.

    Raises UsageError for an unknown prefix, InputError for a path that does not exist.
    """
    path = Path(raw)
    if raw and path.exists():
        return Spec(None, path, None, raw)
    prefix, colon, rest = raw.partition(":")
    if not colon or len(prefix) < 2:  # one letter is a Windows drive
        raise InputError(f"{raw or 'the empty SPEC'}: no such file or folder.", hint=_GRAMMAR)
    if prefix == "synth":
        if rest not in SYNTH:
            raise UsageError(f"Unknown synthetic stream {raw!r}.{did_you_mean(rest, SYNTH)}", hint=_GRAMMAR)
        return Spec("synth", None, rest, raw)
    known = [*FORMATS, *DETECTION_FORMATS]
    if prefix not in known:
        raise UsageError(
            f"Unknown format {prefix!r} in {raw!r}.{did_you_mean(prefix, [*known, 'synth'])}", hint=_GRAMMAR
        )
    if not rest or not Path(rest).exists():
        raise InputError(f"{rest or raw}: no such file or folder.")
    return Spec(prefix, Path(rest), None, raw)


def open_source(spec: Spec | str) -> WordSource:
    """Open a finite source. Without a format it is told from the content.

    Raises UsageError when several formats or label files fit (naming each) or for a synthetic stream, which has no
    list of samples; InputError naming file and line when the data cannot be read.
    """
    if isinstance(spec, str):
        spec = parse_spec(spec)
    if spec.path is None:
        raise UsageError(f"{spec.raw} is an endless stream, expected a finite set of labelled words.")
    words: Format
    if spec.format in DETECTION_FORMATS:
        raise UsageError(
            f"{spec.raw}: {spec.format} holds pages with polygons, expected word images.",
            hint=f"ocrctl dataset crop {spec.raw} OUT",
        )
    if spec.format is None:
        words, file = detect(spec.path)
    else:
        words = FORMATS[spec.format]
        file = label_file(words, spec.path)
    source = words.read(file)
    if len(source) == 0:
        raise InputError(f"{file}: holds no samples.")
    return source


DERIVED = ("rec_gt", "fileState")  # what PPOCRLabel writes beside Label.txt


def open_annotations(spec: Spec | str) -> Annotations:
    """Pages with polygons, or word images, as one columnar index. Without a format it is told from the content.

    Raises UsageError when several formats fit (naming each), InputError naming file and line when it cannot be read.
    """
    if isinstance(spec, str):
        spec = parse_spec(spec)
    if spec.path is None:
        raise UsageError(f"{spec.raw} is an endless stream, expected a finite set of annotations.")
    path = spec.path
    if spec.format in FORMATS:
        return from_words(open_source(spec))
    if spec.format is not None:
        pages = DETECTION_FORMATS[spec.format]
        places = [place for found, place in detect_pages(path) if found is pages] or _usual(pages.LABEL_FILES, path)
        _expect_one(path, [f"{pages.NAME}:{place}" for place in places])
        return pages.read(path if pages.PER_IMAGE and not places else places[0])
    found = detect_pages(path)
    if not found:
        return from_words(open_source(spec))
    specs = [f"{pages.NAME}:{place}" for pages, place in found]
    if len(found) == 1 and path.is_dir():
        taken = found[0][1]
        others = [(words, file) for words, file in _word_sets(path) if file != taken]
        specs += [f"{words}:{file}" for words, file in others if not file.name.startswith(DERIVED)]
    _expect_one(path, specs)
    return found[0][0].read(found[0][1])


def _usual(patterns: tuple[str, ...], path: Path) -> list[Path]:
    """The label file with the usual name: a broken one should be read, so that the error names its line."""
    if path.is_file():
        return [path]
    return [file for pattern in patterns for file in sorted(path.glob(pattern))][:1]


def _word_sets(path: Path) -> list[tuple[str, Path]]:
    files = [file for file in sorted(path.iterdir()) if file.is_file()]
    return [(words.NAME, file) for file in files for words in FORMATS.values() if words.sniff(file)]


def _expect_one(path: Path, specs: list[str]) -> None:
    if len(specs) > 1:
        raise UsageError(
            f"{path}: {len(specs)} sets of annotations fit, expected one.", hint=f"Name one: {', '.join(specs[:8])}."
        )


_GRAMMAR = (
    f"SPEC is a path, FORMAT:PATH or synth:words; formats: {', '.join(FORMATS)}; "
    f"with polygons: {', '.join(DETECTION_FORMATS)}."
)
