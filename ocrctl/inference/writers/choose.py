"""The writer behind each name of `predict --format`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ocrctl.config.suggest import did_you_mean
from ocrctl.data.formats import DETECTION_FORMATS, content_kind
from ocrctl.errors import UsageError
from ocrctl.inference.writers import (
    csv_words,
    jsonl,
    page_csv,
    page_jsonl,
    page_text_csv,
    page_text_tsv,
    page_tsv,
    rec_gt,
    tsv,
    txt,
)
from ocrctl.inference.writers.prediction import spreadsheet_safe


class Writer(Protocol):
    """What one format's module offers; HEADER is the first line, "" for none."""

    NAME: str
    SUFFIX: str
    HEADER: str

    def line(self, prediction: Any, folder: Path | None = None) -> str:
        """The line of one Prediction, or the lines of one PagePrediction, without the last end, in a file in `folder`
        (None: stdout).

        Raises InputError when the format cannot hold it.
        """


WRITERS: dict[str, Writer] = {writer.NAME: writer for writer in (txt, tsv, csv_words, jsonl, rec_gt)}
PAGE_WRITERS: dict[str, Writer] = {writer.NAME: writer for writer in (page_jsonl, page_tsv, page_csv)}
READ_PAGE_WRITERS: dict[str, Writer] = {writer.NAME: writer for writer in (page_text_tsv, page_text_csv)}
# Of pages, what becomes files of its own below -o DIR; besides, every format of pages in data/formats.
PAGE_FILES = ("txt", "submission", "overlay")
SHEETS = (tsv.NAME, csv_words.NAME)  # formats that spreadsheets open: `predict --spreadsheet-safe` guards their cells


@dataclass
class Guarded:
    """A writer whose cells no spreadsheet takes for formulas."""

    writer: Writer
    NAME: str
    SUFFIX: str
    HEADER: str

    def line(self, prediction: Any, folder: Path | None = None) -> str:
        """See Writer."""
        return self.writer.line(spreadsheet_safe(prediction), folder)


def check_format(name: str | None, *, to_folder: bool) -> None:
    """Raise UsageError when no model writes `name` (None: the model's usual one), or it needs a folder and has none."""
    if name is None or name in WRITERS or name in PAGE_WRITERS:
        return
    known = [*dict.fromkeys([*WRITERS, *PAGE_WRITERS, *PAGE_FILES, *DETECTION_FORMATS])]
    if name not in PAGE_FILES and content_kind(name) != "pages":
        raise UsageError(f"unknown format '{name}' (known: {', '.join(known)}).{did_you_mean(name, known)}")
    if not to_folder:
        raise UsageError(f"--format {name} writes files of its own; name a folder for them with -o DIR.")


def format_for(name: str | None, detects: bool, to_folder: bool) -> str:
    """`name`, or what the task's models usually write. Raises UsageError when those of this task do not write it."""
    if name is None:
        return page_jsonl.NAME if detects else tsv.NAME
    if not detects and name not in WRITERS:
        raise UsageError(f"--format {name} is of pages, the model reads words: {', '.join(WRITERS)}.")
    if detects and name == rec_gt.NAME:
        known = ", ".join([*PAGE_WRITERS, *PAGE_FILES, *DETECTION_FORMATS])
        raise UsageError(f"--format {name} is of words, the model finds text on pages: {known}.")
    if detects and name == txt.NAME and not to_folder:
        raise UsageError("--format txt is a file for each page; name a folder for them with -o DIR.")
    return name


def check_guard(name: str) -> None:
    """Raise UsageError when no spreadsheet opens files of the format `name`."""
    if name not in SHEETS:
        raise UsageError(f"--spreadsheet-safe requires --format {' or '.join(SHEETS)}, not {name}.")


def line_writer(name: str | None, detects: bool, reads: bool = True, guard: bool = False) -> Writer:
    """What writes results as lines, under a name that `format_for` let through; for files of pages, JSON lines.

    `detects`: results are of pages; `reads`: they hold texts; `guard`: cells that a spreadsheet would compute are
    guarded (`check_guard`).
    """
    if guard:
        writer = line_writer(name, detects, reads)
        return Guarded(writer, writer.NAME, writer.SUFFIX, writer.HEADER) if writer.NAME in SHEETS else writer
    if detects and reads and name in READ_PAGE_WRITERS:
        return READ_PAGE_WRITERS[name]
    if detects:
        return PAGE_WRITERS.get(name or "", PAGE_WRITERS[page_jsonl.NAME])
    return WRITERS[name or tsv.NAME]
