"""`ocrctl dataset`: its commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.dataset_clean import clean, undo
from ocrctl.cli.dataset_convert import convert, crop, split
from ocrctl.cli.dataset_validate import validate
from ocrctl.cli.label_table import label_rows, page_rows
from ocrctl.cli.options import Json, Plugins, Profiles, Quiet, Sets

app = typer.Typer(
    help="Look at and mend annotated data before it is trained on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("validate")(validate)
app.command("clean")(clean)
app.command("undo")(undo)
app.command("convert")(convert)
app.command("split")(split)
app.command("crop")(crop)


@app.command("charset")
def charset(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Word images: a path, or FORMAT:PATH.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write the charset there.")] = None,
    counts: Annotated[bool, typer.Option("--counts", help="One character a line, with how often it occurs.")] = False,
    one_per_line: Annotated[
        bool, typer.Option("--one-per-line", help="Write FILE as a PaddleOCR dictionary instead of one line.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    plugin: Plugins = None,
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
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", help="Word images or annotated pages: a path, or FORMAT:PATH.")
    ],
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Counts, label lengths and characters of a data set; of pages, sizes and shapes as histograms."""
    from ocrctl.core.dataset import dataset_stats

    report = dataset_stats(spec)
    if as_json:
        console.write_json(report)
        return
    rows: list[tuple[str, object]] = [("source", report.source)]
    rows += page_rows(report.pages) if report.pages is not None else []
    rows += label_rows(report.labels) if report.labels is not None else []
    console.table(("", ""), rows)


@app.command("synth")
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New or empty folder.")],
    count: Annotated[int, typer.Option("--count", min=1, metavar="N", help="Number of words.")] = 100,
    profile: Profiles = None,
    sets: Sets = None,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Only words that training on synth:words never draws.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write words of the synthetic stream as pictures with rec_gt.txt; synth.* settings say what they look like."""
    from ocrctl.core.dataset_synth import write_words

    report = write_words(out, count, profile or [], sets or [], unseen=unseen)
    if as_json:
        console.write_json(report)
    else:
        console.write(f"{report.samples} words in {report.out}, labels in {report.labels}")
    console.suggest(f"ocrctl lmdb build {shlex.quote(str(out))} {shlex.quote(str(out))}.lmdb")
