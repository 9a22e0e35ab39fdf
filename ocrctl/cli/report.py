"""`--report FILE` of every command that has one: the suffix of FILE says what is written, HTML or JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrctl.cli import console
from ocrctl.errors import UsageError

_SUFFIXES = (".html", ".json")

Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a report: FILE.html, a self-contained page, or FILE.json, what --json prints.",
    ),
]


def check_report(path: Path | None) -> None:
    """Raise UsageError for another suffix, InputError when `path` cannot be written; before any work is done."""
    if path is None:
        return
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"--report {path}: expected a name that ends in {' or '.join(_SUFFIXES)}.")
    from ocrctl.files.atomic import check_writable

    check_writable(path)


def write_report(path: Path, value: Any, html: Callable[[Path], Sequence[Path] | None]) -> None:
    """Write `value` as JSON to `path`, or let `html` write the page there, and name what was written on stderr.

    `html` returns the paths where it wrote others instead. Raises InputError or ResumableStop.
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
