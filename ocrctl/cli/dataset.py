"""`ocrctl dataset`: its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.dataset_clean import clean, undo
from ocrctl.cli.dataset_convert import convert, crop, split
from ocrctl.cli.dataset_suspects import suspects
from ocrctl.cli.dataset_validate import validate
from ocrctl.cli.label_table import label_rows, page_rows
from ocrctl.cli.lazy import Group
from ocrctl.cli.options import Json, Plugins, Profiles, Quiet, Sets, SpreadsheetSafe
from ocrctl.cli.progress import ProgressBar
from ocrctl.errors import UsageError
from ocrctl.shell import shell_quote

app = typer.Typer(
    cls=Group,
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
app.command("suspects")(suspects)


@app.command("charset")
def charset(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Word images: a path, or FORMAT:PATH.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Write the charset there.")] = None,
    counts: Annotated[bool, typer.Option("--counts", help="One character a line, with how often it occurs.")] = False,
    one_per_line: Annotated[
        bool, typer.Option("--one-per-line", help="Write FILE as a PaddleOCR dictionary instead of one line.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    guard: SpreadsheetSafe = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print every character of the labels, sorted: what `train --charset` takes."""
    from ocrctl.core.dataset.stats import dataset_charset

    report = dataset_charset(specs, out, one_per_line=one_per_line, overwrite=overwrite)
    if as_json:
        console.write_json(report)
    elif counts:
        rows = [(char, f"U+{ord(char):04X}", count) for char, count in report.counts.items()]
        console.table(("char", "code point", "count"), rows)
    elif out is None:
        console.write_lines(report.charset)
    console.note(f"{report.size} characters in {report.samples:,} labels" + (f" -> {out}" if out else ""))
    if out is not None:
        data = " ".join(f"-d {shell_quote(spec)}" for spec in specs)
        console.suggest(f"ocrctl train {data} --charset {shell_quote(out)}")


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
    from ocrctl.core.dataset.stats import dataset_stats

    report = dataset_stats(spec)
    if as_json:
        console.write_json(report)
        return
    rows: list[tuple[str, object]] = [("source", report.source)]
    rows += page_rows(report.pages) if report.pages is not None else []
    rows += label_rows(report.labels) if report.labels is not None else []
    console.table(("name", "value"), rows)


@app.command("synth")
def synth(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New or empty folder.")],
    pages: Annotated[bool, typer.Option("--pages", help="Pages with word and character outlines, not words.")] = False,
    count: Annotated[int, typer.Option("--count", min=1, metavar="N", help="Number of pictures.")] = 100,
    backgrounds: Annotated[
        Path | None,
        typer.Option("--backgrounds", metavar="DIR", help="Photographs without text, behind half of the pages."),
    ] = None,
    profile: Profiles = None,
    sets: Sets = None,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Only words that training on the stream never draws.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write pictures of a synthetic stream: words with rec_gt.txt, or --pages with train.json.

    On pages each word has its outline, its text and a quad for each character. synth.* settings say what they look
    like."""
    if pages:
        _synth_pages(out, count, backgrounds, profile or [], sets or [], unseen, as_json)
        return
    if backgrounds is not None:
        raise UsageError("--backgrounds goes with --pages: words have grounds of their own.")
    from ocrctl.core.dataset.synth_words import write_words

    report = write_words(out, count, profile or [], sets or [], unseen=unseen)
    if as_json:
        console.write_json(report)
    else:
        console.write(f"{report.samples} words in {report.out}, labels in {report.labels}")
    console.suggest(f"ocrctl lmdb build {shell_quote(out)} {shell_quote(out)}.lmdb")


def _synth_pages(
    out: Path, count: int, backgrounds: Path | None, profiles: list[str], sets: list[str], unseen: bool, as_json: bool
) -> None:
    from ocrctl.core.dataset.synth_pages import write_pages

    with ProgressBar("pages") as progress:
        report = write_pages(out, count, profiles, sets, unseen=unseen, backgrounds=backgrounds, progress=progress)
    if as_json:
        console.write_json(report)
    else:
        kinds = ", ".join(f"{name} {number}" for name, number in sorted(report.kinds.items()))
        console.write(f"{report.samples} pages ({kinds}) in {report.out}, labels in {report.labels}")
        console.write(f"{report.words} words ({report.ignored} to be ignored), {report.characters} characters")
    console.suggest(f"ocrctl dataset stats {shell_quote(out)}")
