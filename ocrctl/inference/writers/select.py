"""Select the writer of `predict --format`."""

from __future__ import annotations

from ocrctl.errors import UsageError
from ocrctl.inference.writers import page_formats, word_formats
from ocrctl.inference.writers.prediction import LineWriter

WRITERS = {
    writer.name: writer
    for writer in (word_formats.TEXT, word_formats.TSV, word_formats.CSV, word_formats.JSONL, word_formats.REC_GT)
}
PAGE_WRITERS = {
    writer.name: writer for writer in (page_formats.JSONL, page_formats.TSV, page_formats.CSV, page_formats.TEXT)
}
READ_PAGE_WRITERS = {writer.name: writer for writer in (page_formats.TEXT_TSV, page_formats.TEXT_CSV)}
TXT = "txt"  # a file of boxes for each page below -o DIR; for word images another name of `text`
# Page formats that write their own files below -o DIR, besides the page formats of data/formats.
PAGE_FILES = ("txt", "submission", "overlay")
SPREADSHEET_FORMATS = (word_formats.TSV.name, word_formats.CSV.name)  # whose cells `predict --spreadsheet-safe` guards


def check_format(name: str | None, *, to_folder: bool) -> None:
    """Raise UsageError when format `name` is unknown (None: the default of the model), or requires a folder."""
    if name in (None, TXT) or name in WRITERS or name in PAGE_WRITERS:
        return
    from ocrctl.config.suggest import did_you_mean
    from ocrctl.data.formats import DETECTION_FORMATS, content_kind  # all formats, which lines do not need

    known = [*dict.fromkeys([*WRITERS, *PAGE_WRITERS, *PAGE_FILES, *DETECTION_FORMATS])]
    if name not in PAGE_FILES and content_kind(name) != "pages":
        raise UsageError(f"unknown format '{name}' (known: {', '.join(known)}).{did_you_mean(name, known)}")
    if not to_folder:
        raise UsageError(f"--format {name} writes files of its own; name a folder for them with -o DIR.")


def format_for(name: str | None, detects: bool, to_folder: bool) -> str:
    """Return `name`, or the default format of the task. Raises UsageError when the task does not support it."""
    if name is None:
        return page_formats.JSONL.name if detects else word_formats.TSV.name
    if not detects and name == TXT:
        return word_formats.TEXT.name
    if not detects and name not in WRITERS:
        raise UsageError(
            f"--format {name} requires a detector, and the model reads word images.",
            hint=f"formats for word images: {', '.join(WRITERS)}",
        )
    if detects and name == word_formats.REC_GT.name:
        from ocrctl.data.formats import DETECTION_FORMATS

        known = ", ".join([*PAGE_WRITERS, *PAGE_FILES, *DETECTION_FORMATS])
        raise UsageError(
            f"--format {name} is for word images, and the models read pages; pages support {known}.",
            hint="read word images with a recogniser alone: -m default:rec-latin",
        )
    if detects and name == TXT and not to_folder:
        raise UsageError(
            "--format txt is a file for each page; name a folder for them with -o DIR.",
            hint="--format text prints the text of pages",
        )
    return name


def check_guard(name: str) -> None:
    """Raise UsageError when format `name` is not a spreadsheet format."""
    if name not in SPREADSHEET_FORMATS:
        raise UsageError(f"--spreadsheet-safe requires --format {' or '.join(SPREADSHEET_FORMATS)}, not {name}.")


def line_writer(name: str | None, detects: bool, reads: bool = True, guard: bool = False) -> LineWriter:
    """Return the writer of lines of a format that `format_for` accepted; JSON lines for formats of page files.

    `detects`: results are pages; `reads`: pages have texts; `guard`: guard cells that a spreadsheet would evaluate
    (`check_guard`).
    """
    if guard:
        writer = line_writer(name, detects, reads)
        return writer.spreadsheet_safe() if writer.name in SPREADSHEET_FORMATS else writer
    if detects and reads and name in READ_PAGE_WRITERS:
        return READ_PAGE_WRITERS[name]
    if detects:
        return PAGE_WRITERS.get(name or "", PAGE_WRITERS[page_formats.JSONL.name])
    return WRITERS[format_for(name, detects=False, to_folder=False)]
