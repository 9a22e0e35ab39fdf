"""`ocrctl dataset`: the group of its commands, and charset, stats and synth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.help import INPUTS, OUTPUT
from ocrctl.cli.label_table import label_rows, page_rows
from ocrctl.cli.lazy import CommandApp
from ocrctl.cli.options import Json, Plugins, Profiles, Quiet, Sets, SpreadsheetSafe
from ocrctl.cli.progress import ProgressBar
from ocrctl.errors import UsageError, counted
from ocrctl.shell import shell_quote

app = CommandApp("Inspect, fix, split and convert annotated datasets.")

app.add("validate", "ocrctl.cli.dataset_validate:validate")
app.add("clean", "ocrctl.cli.dataset_clean:clean")
app.add("undo", "ocrctl.cli.dataset_clean:undo")
app.add("convert", "ocrctl.cli.dataset_convert:convert")
app.add("split", "ocrctl.cli.dataset_convert:split")
app.add("crop", "ocrctl.cli.dataset_convert:crop")
app.add("suspects", "ocrctl.cli.dataset_suspects:suspects")


@app.command("charset")
def charset(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Word images: a path, or FORMAT:PATH.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write the charset to FILE.", rich_help_panel=OUTPUT),
    ] = None,
    counts: Annotated[
        bool,
        typer.Option("--counts", help="Print a character and its count per line.", rich_help_panel=OUTPUT),
    ] = False,
    one_per_line: Annotated[
        bool,
        typer.Option(
            "--one-per-line",
            help="Write FILE as a PaddleOCR dictionary, one character per line.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.", rich_help_panel=OUTPUT)] = False,
    guard: SpreadsheetSafe = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print every character of the labels, sorted, for `train --charset`.

    \b
    Examples:
      ocrctl dataset charset data/train data/val -o charset.txt
    """
    from ocrctl.core.dataset.stats import dataset_charset

    report = dataset_charset(specs, out, one_per_line=one_per_line, overwrite=overwrite)
    if as_json:
        console.write_json(report)
    elif counts:
        rows = [(char, f"U+{ord(char):04X}", count) for char, count in report.counts.items()]
        console.table(("char", "code point", "count"), rows)
    elif out is None:
        console.write_lines(report.charset)
    console.note(
        f"{counted(report.size, 'character')} in {counted(report.samples, 'label')}" + (f" -> {out}" if out else "")
    )
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
    """Show counts, label lengths and characters of a dataset, and histograms of the sizes and shapes of pages."""
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
    pages: Annotated[
        bool,
        typer.Option("--pages", help="Render pages with word and character polygons instead of words."),
    ] = False,
    count: Annotated[int, typer.Option("--count", min=1, metavar="N", help="Number of images.")] = 100,
    backgrounds: Annotated[
        Path | None,
        typer.Option(
            "--backgrounds",
            metavar="DIR",
            help="Photos without text, the background of half of the pages. Requires --pages.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    profile: Profiles = None,
    sets: Sets = None,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Render only words that training on the stream never uses.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write images of a synthetic stream: words with rec_gt.txt, or pages with train.json.

    On pages each word has a polygon, its text and a quad for each character. The synth.* settings control the
    rendering.

    \b
    Examples:
      ocrctl dataset synth words --count 1000 --set synth.style=scene
      ocrctl dataset synth pages --pages --count 50 --backgrounds photos
    """
    if pages:
        _synth_pages(out, count, backgrounds, profile or [], sets or [], unseen, as_json)
        return
    if backgrounds is not None:
        raise UsageError("--backgrounds requires --pages.")
    from ocrctl.core.dataset.synth_words import write_words

    with ProgressBar("words") as progress:
        report = write_words(out, count, profile or [], sets or [], unseen=unseen, progress=progress)
    if as_json:
        console.write_json(report)
    else:
        console.write(f"{counted(report.samples, 'word')} in {report.out}, labels in {report.labels}")
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
        console.write(f"{counted(report.samples, 'page')} ({kinds}) in {report.out}, labels in {report.labels}")
        console.write(
            f"{counted(report.words, 'word')} ({report.ignored} ignored), {counted(report.characters, 'character')}"
        )
    console.suggest(f"ocrctl dataset stats {shell_quote(out)}")
