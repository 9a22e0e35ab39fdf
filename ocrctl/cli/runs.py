"""`ocrctl runs`: list, show and compare training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.help import OUTPUT
from ocrctl.cli.lazy import CommandApp
from ocrctl.cli.options import Json, Quiet
from ocrctl.cli.report import Report, check_report, write_report
from ocrctl.errors import counted
from ocrctl.shell import shell_quote

app = CommandApp("List, show and compare training runs.")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _step(value: int | None) -> str:
    return "-" if value is None else str(value)


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of runs.")] = Path("runs"),
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List runs with steps, time and accuracy. saved: the step of last.ckpt, from which --resume continues."""
    from ocrctl.core.runs.show import list_runs

    runs = list_runs(folder)
    if json:
        console.write_json({"runs": runs})
        return
    rows = [
        (r.name, r.arch, r.steps, _step(r.saved), f"{r.seconds:.0f} s", _percent(r.best), _percent(r.last))
        if r.problem is None
        else (r.name, "unreadable", *"-----")
        for r in runs
    ]
    for r in runs:
        if r.problem is not None:
            console.note(f"unreadable: {r.problem}")
    if not runs:
        console.note(f"{folder}: contains no run")
    console.table(["run", "arch", "steps", "saved", "time", "best", "last"], rows)


@app.command("show")
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    all_settings: Annotated[bool, typer.Option("--all", help="Show all settings.", rich_help_panel=OUTPUT)] = False,
    report: Report = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show scores and checkpoints of a run, and the settings that differ from the defaults.

    The report draws the curves of loss, learning rate, accuracy, CER, empty predictions, images/s and the model's own
    figures, with the settings that differ from the defaults and the previews.
    """
    from ocrctl.core.runs.folder import flat
    from ocrctl.core.runs.show import changed_settings, load_run, summary

    check_report(report)
    entry = summary(run)
    settings, rows = load_run(run)
    result = {"run": entry, "settings": settings, "metrics": rows}
    if report is not None:
        from ocrctl.core.runs.report import write_run_report

        write_report(report, result, lambda path: write_run_report(path, run))
    if json:
        console.write_json(result)
        return
    console.write(f"{entry.path}: {entry.arch}, {counted(entry.steps, 'step')} in {entry.seconds:.0f} s")
    console.write(f"val: best {_percent(entry.best)}, last {_percent(entry.last)}")
    saved = f" (step {entry.saved}, from which --resume continues)" if entry.saved is not None else ""
    console.write(f"checkpoints: {', '.join(entry.checkpoints) or 'none yet'}{saved}")
    if all_settings:
        console.table(["setting", "value"], [(name, _text(value)) for name, value in flat(settings).items()])
    else:
        changed = changed_settings(settings)
        rows_changed = [(name, _text(value), _text(default)) for name, (value, default) in changed.items()]
        console.table(["setting", "value", "default"], rows_changed)
        console.note(f"settings: {counted(len(changed), 'differs', 'differ')} from the defaults; all: --all")
    if entry.checkpoints:
        console.suggest(f"ocrctl eval {shell_quote(run)} -d SPEC")


@app.command("compare")
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Two or more run folders.")],
    report: Report = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare runs: scores side by side, and the settings that differ.

    The report draws the curves of all runs over each other, by step and by minute.
    """
    from ocrctl.core.runs.show import compare_runs

    check_report(report)
    entries, different = compare_runs(runs)
    result = {"runs": entries, "settings": different}
    if report is not None:
        from ocrctl.core.runs.report import write_comparison_report

        write_report(report, result, lambda path: write_comparison_report(path, runs))
    if json:
        console.write_json(result)
        return
    names = [entry.name for entry in entries]
    figures = [
        ("arch", *(e.arch for e in entries)),
        ("steps", *(e.steps for e in entries)),
        ("saved", *(_step(e.saved) for e in entries)),
        ("seconds", *(round(e.seconds) for e in entries)),
        ("best", *(_percent(e.best) for e in entries)),
        ("last", *(_percent(e.last) for e in entries)),
    ]
    settings = [(name, *map(_text, values)) for name, values in different.items() if name != "arch"]
    console.table(["name", *names], [*figures, *settings])


def _text(value: object) -> str:
    """Return the value of a setting as `--set` takes it, a dash where it is not set."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
