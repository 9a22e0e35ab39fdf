"""`ocrctl dataset charset|stats`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.label_table import label_rows
from ocrctl.cli.options import Json, Quiet

app = typer.Typer(
    help="Look at and mend annotated data before it is trained on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("charset")
def charset(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Word images: a path, or FORMAT:PATH.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write the charset there.")] = None,
    counts: Annotated[bool, typer.Option("--counts", help="One character a line, with how often it occurs.")] = False,
    one_per_line: Annotated[
        bool, typer.Option("--one-per-line", help="Write FILE as a PaddleOCR dictionary instead of one line.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print every character of the labels, sorted: what `train --charset` takes."""
    from ocrctl.core.dataset import dataset_charset

    report = dataset_charset(specs, out, one_per_line=one_per_line, overwrite=overwrite)
    if as_json:
        console.write_json(report)
    elif counts:
        rows = [(char, f"U+{ord(char):04X}", count) for char, count in report.counts.items()]
        console.table(("char", "code point", "count"), rows)
    elif out is None:
        console.write(report.charset)
    console.note(f"{report.size} characters in {report.samples:,} labels" + (f" -> {out}" if out else ""))
    if out is not None:
        data = " ".join(f"-d {shlex.quote(spec)}" for spec in specs)
        console.suggest(f"ocrctl train {data} --charset {shlex.quote(str(out))}")


@app.command("stats")
def stats(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="Word images: a path, or FORMAT:PATH.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Counts, label lengths and characters of a word set."""
    from ocrctl.core.dataset import dataset_stats

    report = dataset_stats(spec)
    if as_json:
        console.write_json(report)
    else:
        console.table(("", ""), [("source", report.source), *label_rows(report.labels)])
