"""`ocrctl dataset charset` and `stats`: characters, lengths and sizes of a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrctl.data.formats.spec import open_annotations, open_source
from ocrctl.data.polygons.findings import Findings
from ocrctl.data.validate.image_scan import scan_images
from ocrctl.data.validate.page_stats import PageStats, page_stats
from ocrctl.data.validate.word_stats import LabelStats, label_stats
from ocrctl.errors import InputError, UsageError
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label


@dataclass(frozen=True)
class CharsetReport:
    """The charset of the labels, sorted by code point; `counts` are occurrences, most frequent first."""

    sources: list[str]
    samples: int
    size: int
    charset: str
    counts: dict[str, int]
    out: Path | None


@dataclass(frozen=True)
class StatsReport:
    """Statistics of a data set. `pages` is None for word images; `labels` cover the instances that are not ignored,
    None when none of them has a text."""

    source: str
    labels: LabelStats | None
    pages: PageStats | None = None


def dataset_charset(
    specs: list[str], out: Path | None = None, *, one_per_line: bool = False, overwrite: bool = False
) -> CharsetReport:
    """Collect the characters of the labels of `specs`; write them to `out` if given.

    Raises UsageError when `out` exists and `overwrite` is False, InputError when the labels contain a character that a
    charset cannot (a line break, a NUL) or none at all.
    """
    if out is not None and out.exists() and not overwrite:
        raise UsageError(f"{out} exists already.", hint="--overwrite replaces it.")
    sources = [open_source(spec) for spec in specs]
    labels = [label for source in sources for label in source.labels]
    stats = label_stats(labels)
    if not stats.characters:
        raise InputError(f"{', '.join(specs)}: every label is empty.")
    try:
        charset = Charset.from_labels(labels)
    except UsageError as error:
        raise InputError(f"{', '.join(specs)}: {error.message}") from error
    if out is not None:
        charset.save(out, one_per_line=one_per_line, create=not overwrite)
    names = [source.name for source in sources]
    return CharsetReport(names, len(labels), len(charset), charset.chars, stats.characters, out)


def dataset_stats(spec: str, progress: Callable[[int, int], None] = lambda done, total: None) -> StatsReport:
    """Return counts, lengths and characters of the labels of `spec`; for pages also sizes and shapes."""
    data = open_annotations(spec)
    if data.words is not None:
        return StatsReport(data.words.name, label_stats(data.words.labels))
    scan = scan_images(data, Findings(), False, progress)
    texts = [normalize_label(text) for text, off in zip(data.texts, data.ignore, strict=True) if text and not off]
    return StatsReport(data.name, label_stats(texts) if texts else None, page_stats(data, scan))
