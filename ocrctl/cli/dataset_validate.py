"""`ocrctl dataset validate`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.github import SHOWN, Annotation, GitHub, Level, annotate, check_github
from ocrctl.cli.help import CHECKS, INPUTS, OUTPUT
from ocrctl.cli.options import Json, Plugins, Profiles, Quiet, SpreadsheetSafe, plugin_flags
from ocrctl.cli.progress import ProgressBar
from ocrctl.cli.report import Report, check_report, write_report
from ocrctl.errors import counted
from ocrctl.shell import shell_quote

if TYPE_CHECKING:
    from ocrctl.core.dataset.validate import ValidateReport

_GITHUB: dict[str, Level] = {"error": "error", "warning": "warning", "info": "notice"}
_EXAMPLES = 3  # findings shown for each code
_LISTED = 1000  # of each code with --json

DataSpec = Annotated[
    str | None,
    typer.Argument(metavar="SPEC", help="Annotated images: a path, or FORMAT:PATH. Default: $OCRCTL_DATA."),
]

DataFlag = Annotated[
    str | None,
    typer.Option(
        "-d",
        "--data",
        metavar="SPEC",
        help="The same as SPEC. Default without both: data.train of -p.",
        rich_help_panel=INPUTS,
    ),
]


def validate(
    spec: DataSpec = None,
    data: DataFlag = None,
    header_only: Annotated[
        bool,
        typer.Option(
            "--header-only",
            help="Read only the headers of images: fast, but misses damage behind them.",
            rich_help_panel=CHECKS,
        ),
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="SPEC",
            help="Another dataset, such as the test set, that must share no image.",
            rich_help_panel=CHECKS,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="MODEL",
            help="Also check the labels against an architecture or a trained model.",
            rich_help_panel=CHECKS,
        ),
    ] = None,
    profile: Profiles = None,
    charset: Annotated[
        str | None,
        typer.Option(
            "--charset",
            metavar="FILE",
            help="Charset of --for. Default: the model's.",
            rich_help_panel=CHECKS,
        ),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="WHAT",
            help="Exit 1 on this severity or code: error (default), warning, info, P010. Repeatable.",
            rich_help_panel=CHECKS,
        ),
    ] = None,
    report: Report = None,
    github: GitHub = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=0,
            metavar="N",
            help=f"Maximum findings per code; 0: all. Default: {_LISTED} with --json, {SHOWN} with --github.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    guard: SpreadsheetSafe = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check annotated images: files, polygons, texts. Exit 1 on a finding at or above --fail-on.

    \b
    Examples:
      ocrctl dataset validate data/train --report report.html
      ocrctl dataset validate data/train --against data/test --for crnn
    """
    from ocrctl.core.dataset.default_spec import data_spec
    from ocrctl.core.dataset.validate import ValidateOptions
    from ocrctl.core.dataset.validate import validate as check

    check_github(github, as_json)
    chosen = data_spec(spec, data, profile or [])
    options = ValidateOptions(
        spec=chosen,
        decode=not header_only,
        against=against,
        model=model,
        charset=charset,
        profiles=(profile or []) if model or spec or data else [],  # without --for it named the dataset
        fail_on=fail_on or ["error"],
        limit=_LISTED if limit is None else limit or None,
    )
    check_report(report)
    with ProgressBar("images") as progress:
        result, annotations, findings = check(options, progress)
    with console.ignoring_closed_pipe():
        if as_json:
            console.write_json(result)
        elif github:
            _annotations(result, SHOWN if limit is None else limit, plugin_flags(plugin))
        else:
            _table(result)
    for note in result.notes:
        console.note(note)
    console.note(
        f"{counted(result.images, 'image')}, {counted(result.instances, 'instance')} ({result.ignored:,} ignored), "
        f"{result.format}: {counted(result.errors, 'error')}, {counted(result.warnings, 'warning')}, "
        f"{counted(result.infos, 'remark')} in {result.seconds:.1f} s"
    )
    if report is not None:
        from ocrctl.core.dataset.report import write_page

        write_report(report, result, lambda path: write_page(path, result, annotations, findings))
    if any(code.fix and code.severity == "error" for code in result.codes):
        console.suggest(
            f"ocrctl dataset clean {shell_quote(chosen)}{plugin_flags(plugin)} --clamp --repair --remove-bad"
        )
    if result.failed:
        raise typer.Exit(1)


def _table(result: ValidateReport) -> None:
    wide = not sys.stdout.isatty()  # a terminal has no room for the location: it is printed below the table
    rows = [
        (code.code, code.severity, code.count, code.name, f"{found.where}: {found.message}" if wide else found.message)
        for code in result.codes
        for found in code.locations[:1]
    ]
    console.table(("code", "severity", "count", "name", "first"), rows)
    more = [
        (code.code, f"{found.where}: {found.message}")
        for code in result.codes
        for found in code.locations[int(wide) : _EXAMPLES if code.severity == "error" else 1]
    ]
    if wide and more:
        console.write()
        console.table(("code", "another"), more)
    elif more:
        for name, sentence in more:
            console.write(f"{name}  {sentence}")


def _annotations(result: ValidateReport, shown: int, flags: str) -> None:
    for code in result.codes:
        annotate(
            _GITHUB[code.severity],
            f"{code.code} {code.name}",
            [Annotation(f"{found.where}: {found.message}", found.file, found.line) for found in code.locations],
            total=code.count,
            shown=shown,
            how=f"ocrctl dataset validate {shell_quote(result.spec)}{flags} --github --limit 0",
        )
