"""`ocrctl dataset clean|undo`: fix annotations, and restore the files as they were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.dataset_convert import AllowOutside
from ocrctl.cli.dataset_validate import DataFlag, DataSpec
from ocrctl.cli.github import Annotation, GitHub, annotate, check_github, failed
from ocrctl.cli.help import FIXES, INPUTS, OUTPUT
from ocrctl.cli.options import Json, Plugins, Profiles, Quiet, SpreadsheetSafe, plugin_flags
from ocrctl.cli.progress import ProgressBar
from ocrctl.errors import counted
from ocrctl.shell import shell_quote

if TYPE_CHECKING:
    from ocrctl.core.dataset.clean import CleanReport


def clean(
    spec: DataSpec = None,
    data: DataFlag = None,
    profile: Profiles = None,
    clamp: Annotated[
        bool,
        typer.Option(
            "--clamp", help="Move points outside the image onto its edge; not far ones.", rich_help_panel=FIXES
        ),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Fix polygons, texts, stated image sizes and labels that ignore the EXIF orientation.",
            rich_help_panel=FIXES,
        ),
    ] = False,
    remove_bad: Annotated[
        bool,
        typer.Option(
            "--remove-bad",
            help="Remove invalid polygons, and images that are unusable or left without instances.",
            rich_help_panel=FIXES,
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Write a cleaned copy instead of changing the label files.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    header_only: Annotated[
        bool, typer.Option("--header-only", help="Do not decode the images.", rich_help_panel=INPUTS)
    ] = False,
    github: GitHub = False,
    guard: SpreadsheetSafe = False,
    allow_outside: AllowOutside = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fix annotated images. Without --clamp, --repair or --remove-bad: list the fixes; exit 1 if there are any.

    \b
    Examples:
      ocrctl dataset clean data/train
      ocrctl dataset clean data/train --clamp --repair --remove-bad
    """
    from ocrctl.core.dataset.clean import CleanOptions, clean_data
    from ocrctl.core.dataset.default_spec import data_spec

    check_github(github, as_json)
    chosen = data_spec(spec, data, profile or [])
    options = CleanOptions(chosen, clamp, repair, remove_bad, out, not header_only, allow_outside)
    with ProgressBar("images") as progress:
        report = clean_data(options, progress)
    name = shell_quote(chosen) + plugin_flags(plugin)
    with console.ignoring_closed_pipe():
        if as_json:
            console.write_json(report)
        elif github:
            _annotations(report, name)
        elif report.actions:
            rows = [(count, action, report.examples[action]) for action, count in report.actions.items()]
            console.table(("count", "action", "first"), rows)
    console.note(_summary(report))
    if report.dry and report.actions:
        console.note("nothing was written; --clamp, --repair and --remove-bad write their fixes")
        console.suggest(f"ocrctl dataset clean {name} --clamp --repair --remove-bad")
    elif report.journal is not None:
        console.suggest(f"ocrctl dataset undo {name}")
    if report.fatal or (report.dry and report.actions):
        raise typer.Exit(1)


def _summary(report: CleanReport) -> str:
    remain = f"{counted(report.fatal, 'error')} {'would remain' if report.dry else 'remain'}"
    if not report.actions:
        held = f"{counted(report.images, 'image')} and {counted(report.instances, 'instance')}, all kept"
        return f"nothing to clean: {held}{f'; {remain}' if report.fatal else ''}"
    return (
        f"{report.images_left:,} of {report.images:,} images and {report.instances_left:,} of {report.instances:,}"
        f" instances {'would be' if report.dry else 'are'} kept; {remain}"
    )


def _annotations(report: CleanReport, name: str) -> None:
    """Print the fixes of a dry run and remaining errors as errors, applied fixes as notices."""
    found = [
        Annotation(f"{action} ({count:,} {'to do' if report.dry else 'done'}), first: {report.examples[action]}")
        for action, count in report.actions.items()
    ]
    annotate("error" if report.dry else "notice", "dataset clean", found, total=len(found), shown=0)
    if report.fatal:
        remain = "would remain" if report.dry else "remain"
        failed(
            "dataset clean",
            [f"{counted(report.fatal, 'error')} {remain}; to list them: ocrctl dataset validate {name}"],
        )


def undo(
    spec: DataSpec = None,
    data: DataFlag = None,
    profile: Profiles = None,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Undo the latest `dataset clean`: restore every label file byte for byte."""
    from ocrctl.core.dataset.clean import undo_clean
    from ocrctl.core.dataset.default_spec import data_spec

    report = undo_clean(data_spec(spec, data, profile or []))
    if as_json:
        console.write_json(report)
    else:
        for file in report.files:
            console.write(f"restored {file}")
