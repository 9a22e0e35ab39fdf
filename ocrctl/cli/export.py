"""`ocrctl export`: trained models as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.options import Decoding, Json, Plugins, Quiet, plugin_flags
from ocrctl.shell import shell_quote

DIFFERING_SHOWN = 10


def export(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Checkpoints or run folders.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Write DIR/NAME.onnx.")],
    verify: Annotated[
        str | None,
        typer.Option(
            "--verify", metavar="SPEC", help="Also compare every sample of this data; 1,000 words of synth:words."
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            "--tolerance",
            metavar="METRIC=X",
            help="logits=1e-3 and maps=1e-3 (largest difference), strings=0 and boxes=0 (share).",
        ),
    ] = None,
    decoding: Decoding = None,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write ONNX files that answer as the checkpoints do: compared before they appear, exit 1 when they differ."""
    from ocrctl.cli.pairs import number_pairs
    from ocrctl.core.export.run import ExportOptions
    from ocrctl.core.export.run import export as run

    report = run(ExportOptions(models, out, verify, number_pairs(tolerance or [], "--tolerance"), decoding))
    with console.to_the_end():
        if as_json:
            console.write_json({"ok": report.ok, **console.to_plain(report)})
        else:
            for model in report.models:
                for check in model.checks:
                    equal = check.samples - len(check.differing)
                    pages = check.of == "boxes"
                    same, values = ("pages with equal boxes", "maps") if pages else ("strings equal", "logits")
                    counted = f"{equal} of {check.samples} {same}"
                    console.write(f"{model.name}: {check.what}: {counted}, {values} within {check.max_abs_diff:.2g}")
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
    if not report.ok:
        raise typer.Exit(1)
    if (first := report.models[0].path) is not None:
        console.suggest(f"ocrctl predict IMAGES -m {shell_quote(first)}{plugin_flags(plugin)}")
