"""`ocrctl lmdb build|verify|info`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.github import Annotation, GitHub, annotate, check_github
from ocrctl.cli.help import INPUTS, OUTPUT, RUNTIME
from ocrctl.cli.lazy import CommandApp
from ocrctl.cli.options import Json, Plugins, Quiet, plugin_flags
from ocrctl.cli.progress import ProgressBar
from ocrctl.errors import counted
from ocrctl.shell import shell_quote

if TYPE_CHECKING:
    from ocrctl.core.lmdb.run import TrainingNeeds

SHOWN = 20  # problems listed in text; --json lists all
CHARACTERS = 12  # characters outside a charset that are named; --json lists all

app = CommandApp("Build, verify and describe LMDB datasets of word images.")

Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        help="Processes that read and decode images. Default: one per core.",
        rich_help_panel=RUNTIME,
    ),
]


@app.command("build")
def build(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="Word images: a path, or FORMAT:PATH.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder; it appears once it is complete.")],
    jobs: Jobs = None,
    max_label_length: Annotated[
        int | None,
        typer.Option(
            "--max-label-length",
            min=0,
            help="Maximum label length in characters; 0: no limit. Default: 255.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 when a sample is skipped.", rich_help_panel=INPUTS)
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume an interrupted build of OUT, if there is one.", rich_help_panel=RUNTIME),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace OUT; without --resume, discard an interrupted build.", rich_help_panel=OUTPUT
        ),
    ] = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build an LMDB of word images; every image is decoded first, bad samples are skipped and listed.

    \b
    Examples:
      ocrctl lmdb build data/words data/words.lmdb
      ocrctl lmdb build paddleocr-rec:data/rec_gt.txt data/train.lmdb --strict
    """
    from ocrctl.core.lmdb.run import BuildOptions, build_lmdb
    from ocrctl.data.images.tiff import several_pages_note

    options = BuildOptions(spec, out, jobs, max_label_length, overwrite, resume)
    try:
        with ProgressBar("samples") as progress:
            report = build_lmdb(options, progress)
    except KeyboardInterrupt as stop:
        number = stop.args[0] if stop.args else signal.SIGINT
        console.note("interrupted; the samples written so far are kept")
        flags = "" if max_label_length is None else f" --max-label-length {max_label_length}"
        flags += f" --jobs {jobs}" if jobs else ""
        flags += " --overwrite --resume" if overwrite else " --resume"
        flags += plugin_flags(plugin)
        console.suggest(f"ocrctl lmdb build {shell_quote(spec)} {shell_quote(out)}{flags}")
        raise typer.Exit(128 + number) from stop
    with console.ignoring_closed_pipe():
        if as_json:
            console.write_json(report)
        else:
            problems = {"left out": report.left_out, "repeated": report.repeated}
            _list([(title, one.where, one.reason) for title, found in problems.items() for one in found])
            rows = [("samples", report.samples), ("written", report.written), ("left out", len(report.left_out))]
            rows += [(f"  {reason}", count) for reason, count in report.reasons.items()]
            rows += [("repeated", len(report.repeated)), ("bytes", report.bytes)]
            console.table(("name", "count"), rows)
            after = f", resumed after {report.resumed_from:,}" if report.resumed_from else ""
            console.note(
                f"{report.out}: {report.written:,} of {report.samples:,} samples in {report.seconds:.1f} s"
                f" ({report.samples_per_second:,.0f}/s, {counted(report.jobs, 'process', 'processes')}{after})"
            )
    if several := several_pages_note(report.several_pages):
        console.note(several)
    if report.needs is not None:
        _needs(report.needs)
    if strict and report.left_out:
        raise typer.Exit(1)
    if report.needs is not None and report.needs.command is not None:
        console.suggest(report.needs.command)


@app.command("verify")
def verify(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="LMDB folder.")],
    jobs: Jobs = None,
    github: GitHub = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Verify that an LMDB has every key, every image decodes and every label is UTF-8 and NFC; exit 1 if not."""
    check_github(github, as_json)
    from ocrctl.core.lmdb.run import verify_lmdb

    with ProgressBar("samples") as progress:
        report = verify_lmdb(path, jobs, progress)
    with console.ignoring_closed_pipe():
        if as_json:
            console.write_json(report)
        elif github:
            sentences = [f"{path}: {_named(fault)}: {fault['reason']}" for fault in report.faults]
            found = [Annotation(sentence, str(path)) for sentence in sentences]
            annotate(
                "error", "lmdb verify", found, total=len(found), how=f"ocrctl lmdb verify {shell_quote(path)} --json"
            )
        else:
            _list([("fault", f"{path}: {_named(fault)}", str(fault["reason"])) for fault in report.faults])
            rows = [("samples", report.samples), ("images", report.images), ("labels", report.labels)]
            console.table(("name", "count"), [*rows, ("faults", len(report.faults)), ("bytes", report.bytes)])
    if not report.ok:
        raise typer.Exit(1)


def _named(fault: dict[str, int | str]) -> str:
    return f"sample {fault['sample']}" if fault["sample"] else "file"


@app.command("info")
def info(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="LMDB folder.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the samples, bytes, label lengths and most frequent characters of an LMDB."""
    from ocrctl.cli.label_table import label_rows
    from ocrctl.core.lmdb.run import describe_lmdb

    report = describe_lmdb(path)
    if as_json:
        console.write_json(report)
    else:
        console.table(("name", "value"), [("path", path), ("bytes", report.bytes), *label_rows(report.labels)])


def _needs(needs: TrainingNeeds) -> None:
    """Print what keeps the default architecture from training on the labels."""
    scripts = ", ".join(f"{name} {count:,}" for name, count in needs.scripts.items()) or "no letters"
    console.note(f"labels: longest {counted(needs.longest, 'character')}, letters: {scripts}")
    if needs.outside:
        shown = ", ".join(f"{char!r} x{count}" for char, count in list(needs.outside.items())[:CHARACTERS])
        more = len(needs.outside) - CHARACTERS
        console.note(
            f"training: {counted(len(needs.outside), 'character')} outside the charset of {needs.arch}: "
            f"{shown}{f' and {more} more' if more > 0 else ''}"
        )
    if needs.too_long:
        console.note(
            f"training: {counted(needs.too_long, 'label')} too long for {needs.arch} at its default width "
            f"(up to {counted(needs.longest_fitting, 'character')} always fit)"
        )


def _list(problems: list[tuple[str, str, str]]) -> None:
    """Print (kind, where, reason) of problems: the first of each kind as lines; in a pipe all as a table."""
    if not problems:
        return
    if not sys.stdout.isatty():
        console.table(("problem", "where", "reason"), problems)
        console.write()
        return
    for kind in dict.fromkeys(kind for kind, _, _ in problems):
        found = [f"{kind}: {where}: {reason}" for one, where, reason in problems if one == kind]
        for sentence in found[:SHOWN]:
            console.write(sentence)
        if len(found) > SHOWN:
            console.write(f"{kind}: ... and {len(found) - SHOWN} more (--json lists all)")
