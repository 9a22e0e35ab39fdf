"""`ocrctl export`: export trained models to ONNX."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.early import check_models, check_specs
from ocrctl.cli.help import CHECKS, OUTPUT
from ocrctl.cli.options import GraphDecoding, Json, Plugins, Quiet, predict_command
from ocrctl.cli.progress import ProgressBar

if TYPE_CHECKING:
    from ocrctl.core.export.run import Exported

DIFFERING_SHOWN = 10
ROUNDING = 0.01  # a larger difference of logits or maps is that of another model


def export(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Checkpoints, run folders or default:NAME.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="Write DIR/NAME.onnx.", rich_help_panel=OUTPUT)
    ],
    verify: Annotated[
        str | None,
        typer.Option(
            "--verify",
            metavar="SPEC",
            help="Also compare the outputs on every sample of this dataset; synth:words: 1,000 words.",
            rich_help_panel=CHECKS,
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            "--tolerance",
            metavar="METRIC=X",
            help="Maximum difference of logits and maps (1e-3), maximum share of samples with other strings or boxes "
            "(0). Repeatable.",
            rich_help_panel=CHECKS,
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="fp32|fp16-weights",
            help="How weights are stored. fp16-weights: half the size, computed in float32; train --from and export "
            "can read the file.",
            rich_help_panel=OUTPUT,
        ),
    ] = "fp32",
    decoding: GraphDecoding = None,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export to ONNX and verify that outputs match; exit 1 if they differ.

    A file is written only if the outputs match.

    \b
    Examples:
      ocrctl export runs/crnn -o models
      ocrctl export runs/crnn -o models --precision fp16-weights
      ocrctl export runs/crnn -o out --verify data/val --tolerance logits=0.01
    """
    from ocrctl.cli.pairs import tolerances

    allowed = tolerances(tolerance or [])
    check_models(models)
    check_specs([verify] if verify is not None else [])
    from ocrctl.core.export.run import ExportOptions
    from ocrctl.core.export.run import export as run

    options = ExportOptions(models, out, verify, allowed, decoding, precision)
    with ProgressBar("samples" if verify is not None else "steps") as progress:
        report = run(options, progress, console.stage)
    with console.ignoring_closed_pipe():
        if as_json:
            console.write_json({"ok": report.ok, **console.to_plain(report)})
        else:
            for model in report.models:
                for check in model.checks:
                    equal = check.samples - len(check.differing)
                    pages = check.of == "boxes"
                    same, values = ("pages with equal boxes", "maps") if pages else ("strings equal", "logits")
                    counted = f"{equal} of {check.samples} {same}"
                    console.write(f"{model.name}: {check.what}: {counted}, {values} within {check.max_diff:.2g}")
                    for row in check.differing[:DIFFERING_SHOWN]:
                        console.write(f"  {row.where}: PyTorch {row.torch!r}, ONNX Runtime {row.onnx!r}")
                if model.path is not None:
                    console.write(
                        f"{model.path}  {model.size_bytes / 1e6:.1f} MB, {model.parameters / 1e6:.2f} M parameters, "
                        f"opset {model.opset}"
                    )
    for model in report.models:
        for failure in model.failures:
            console.warn(f"not written: {model.name}: {failure}")
        if model.failures and (accepted := _accepting(model)):
            console.warn(f"hint: {accepted}")
    for model in report.models:
        if model.nothing:
            console.warn(f"warning: {model.name} reads nothing: {model.nothing}, which are rendered words.")
    if not report.ok:
        raise typer.Exit(1)
    first = report.models[0]
    if first.path is not None:
        if first.task == "recognition":
            console.note(f"note: {first.path} reads images of single words; for pages add a detector: -m default:det")
        console.suggest(predict_command(first.path, first.task, plugin))


def _accepting(model: Exported) -> str:
    """Return how to accept a model of which only values differ, by so little that it may be rounding; else ""."""
    worst = max(check.max_diff for check in model.checks)
    if not worst <= ROUNDING or any(check.differing or check.nothing for check in model.checks):
        return ""
    of = model.checks[0].of
    values = "maps" if of == "boxes" else "logits"
    return f"all {of} are equal; to accept this difference, add --tolerance {values}={ceil(worst * 1e4) / 1e4:g}"
