"""`ocrctl dataset`: the charset and the statistics of a word set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocrctl.data.label_stats import LabelStats, label_stats
from ocrctl.data.sources import open_source
from ocrctl.errors import InputError, UsageError
from ocrctl.text.charset import Charset


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
    """A word set in numbers."""

    source: str
    labels: LabelStats


def dataset_charset(
    specs: list[str], out: Path | None = None, *, one_per_line: bool = False, overwrite: bool = False
) -> CharsetReport:
    """Every character of the labels of `specs`; written to `out` when given.

    Raises UsageError when `out` exists and may not be replaced, InputError when the labels hold a character that no
    charset can (a line break, a NUL) or none at all.
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
        charset.save(out, one_per_line=one_per_line)
    names = [source.name for source in sources]
    return CharsetReport(names, len(labels), len(charset), charset.chars, stats.characters, out)


def dataset_stats(spec: str) -> StatsReport:
    """Counts, lengths and characters of the labels of `spec`."""
    source = open_source(spec)
    return StatsReport(source.name, label_stats(source.labels))
