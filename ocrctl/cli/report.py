"""`--report FILE`: write a report as HTML or JSON, by the suffix of FILE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrctl.cli import console
from ocrctl.cli.help import OUTPUT
from ocrctl.errors import UsageError

_SUFFIXES = (".html", ".json")

Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a report: FILE.html, a self-contained page, or FILE.json, the output of --json.",
        rich_help_panel=OUTPUT,
    ),
]


def check_report(path: Path | None) -> None:
    """Raise UsageError for another suffix, InputError when `path` cannot be written, before the work starts."""
    if path is None:
        return
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--report {path}: expected a name that ends in {' or '.join(_SUFFIXES)}.")
    from ocrctl.files.atomic import check_writable

    check_writable(path)


def write_report(path: Path, value: Any, html: Callable[[Path], Sequence[Path] | None]) -> None:
    """Write `value` as JSON to `path`, or call `html` to write the page, and print the written paths to stderr.

    `html` returns the paths if it wrote others than `path`. Raises InputError or ResumableStop.
    """
    if path.suffix.lower() == ".json":
        from ocrctl.escape import json_text
        from ocrctl.files.atomic import write_with_newline

        write_with_newline(path, json_text(console.to_plain(value), indent=2))
        written: Sequence[Path] = [path]
    else:
        written = html(path) or [path]
    for one in written:
        console.note(f"report: {one}")
