"""`ocrctl model merge`: a model between a base and the model fine-tuned from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.early import check_models, check_specs
from ocrctl.cli.help import INPUTS, OUTPUT, RUNTIME, SCORES
from ocrctl.cli.options import Device, Jobs, Json, Plugins, Quiet, Threads, plugin_flags
from ocrctl.cli.progress import ProgressBar
from ocrctl.cli.report import Report, check_report, write_report
from ocrctl.errors import UsageError
from ocrctl.shell import shell_quote

if TYPE_CHECKING:
    from ocrctl.core.fine_tune.merge import Merged
    from ocrctl.metrics.bootstrap import Interval


def merge(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Model that NEW was fine-tuned from.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Fine-tuned checkpoint or run folder.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="MODEL", help="Checkpoint to write.", rich_help_panel=OUTPUT)
    ],
    alpha: Annotated[
        str,
        typer.Option(
            "--alpha",
            metavar="auto|X",
            help="Share of NEW in every weight, 0 to 1. auto: the best of 0, 0.1 ... 1 on --val within "
            "--max-forgetting.",
            rich_help_panel=SCORES,
        ),
    ] = "auto",
    val: Annotated[
        str | None,
        typer.Option(
            "--val", metavar="SPEC", help="Dataset of the kind that NEW was fine-tuned on.", rich_help_panel=INPUTS
        ),
    ] = None,
    general: Annotated[
        str | None,
        typer.Option(
            "--general", metavar="SPEC", help="Dataset of what BASE can do and must still do.", rich_help_panel=INPUTS
        ),
    ] = None,
    max_forgetting: Annotated[
        float,
        typer.Option(
            "--max-forgetting",
            metavar="POINTS",
            min=0,
            help="Maximum loss on --general, in percentage points of BASE's value.",
            rich_help_panel=SCORES,
        ),
    ] = 1.0,
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", metavar="P", help="exact (default) or str36 for words.", rich_help_panel=SCORES),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, help="Samples of each dataset, a random subset by --seed.", rich_help_panel=INPUTS
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of subset and intervals.", rich_help_panel=RUNTIME)
    ] = 0,
    report: Report = None,
    device: Device = "auto",
    jobs: Jobs = None,
    threads: Threads = None,
    plugin: Plugins = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Interpolate the weights of a base model and a fine-tuned one (WiSE-FT).

    Prints both datasets at each share of the new model, with the change from the base and its 95 % interval. The result
    has the charset of NEW. Exit 1 when a given --alpha loses more than --max-forgetting; the model is still written.

    \b
    Examples:
      ocrctl model merge runs/base runs/new -o m.ckpt --val new/ --general old/
      ocrctl model merge default:rec-latin runs/new -o m.ckpt --alpha 0.5
    """
    check_models([base, new])
    check_specs([spec for spec in (val, general) if spec is not None])
    from ocrctl.core.fine_tune.merge import MergeOptions
    from ocrctl.core.fine_tune.merge import merge as run

    check_report(report)
    options = MergeOptions(
        base, new, out, _alpha(alpha), val, general, max_forgetting, protocol, limit, seed, device, threads, jobs
    )
    with ProgressBar("samples") as progress:
        found = run(options, progress, console.stage)
    with console.ignoring_closed_pipe():
        if json:
            console.write_json(found)
        else:
            _show(found)
    if report is not None:
        write_report(report, found, lambda path: _page(path, found, options.base, options.new))
    chosen = next((point for point in found.points if point.alpha == found.alpha), None)
    if chosen is not None and not chosen.within_limit:
        console.warn(
            f"warning: {found.path} loses more than {max_forgetting:g} points on {general}; "
            "--alpha auto chooses within the limit"
        )
        raise typer.Exit(1)
    console.suggest(f"ocrctl eval {shell_quote(out)} -d {shell_quote(val or 'DATA')}{plugin_flags(plugin)}")


def _alpha(text: str) -> float | None:
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--alpha {text}: expected auto or a number from 0 to 1.", hint="--alpha 0.5") from None


def _show(found: Merged) -> None:
    if found.points:
        headers = ["alpha"]
        for name in ("val", "general"):
            if getattr(found.points[0], name) is not None:
                headers += [f"{name} {found.metric} %", "change (merged - base), points"]
        rows = []
        for point in found.points:
            row = [f"{point.alpha:.2g}{' *' if point.alpha == found.alpha else ''}"]
            if point.val is not None and point.val_change is not None:
                row += [f"{100 * point.val:.2f}", _points(point.val_change)]
            if point.general is not None and point.general_change is not None:
                over = "" if point.within_limit else " !"
                row += [f"{100 * point.general:.2f}", _points(point.general_change) + over]
            rows.append(row)
        console.table(headers, rows, 1)
    for note in found.notes:
        console.note(note)
    console.write(f"{found.path}: alpha {found.alpha:g}")


def _points(change: Interval) -> str:
    return f"{100 * change.value:+.2f} [{100 * change.low:+.2f}, {100 * change.high:+.2f}]"


def _page(path: Path, found: Merged, base: str, new: str) -> None:
    from ocrctl.files.atomic import write_text
    from ocrctl.inference.writers.report.curve import Curve, curve_page

    curves = [
        Curve(name, [(point.alpha, value) for point in found.points if (value := getattr(point, name)) is not None])
        for name in ("val", "general")
    ]
    rows = [
        (f"{point.alpha:g}", point.val, point.val_change, point.general, point.general_change) for point in found.points
    ]
    introduction = f"{base} (alpha 0) to {new} (alpha 1); written: {found.path}, alpha {found.alpha:g}."
    write_text(
        path, curve_page("Merged models", introduction, [c for c in curves if c.points], rows, found.metric or "")
    )
