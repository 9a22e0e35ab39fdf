"""`ocrctl dataset suspects`: list labels that are probably wrong."""

from __future__ import annotations

from typing import Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.dataset_validate import DataSpec
from ocrctl.cli.help import MODEL, OUTPUT
from ocrctl.cli.options import BatchSize, Device, Jobs, Json, Plugins, Quiet, SpreadsheetSafe, Threads
from ocrctl.cli.progress import ProgressBar


def suspects(
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="Recogniser: checkpoint, ONNX file, export bundle, run folder or default:NAME.",
            rich_help_panel=MODEL,
        ),
    ],
    spec: DataSpec = None,
    limit: Annotated[
        int,
        typer.Option("--limit", min=1, metavar="N", help="Maximum number of labels listed.", rich_help_panel=OUTPUT),
    ] = 50,
    device: Device = "auto",
    batch_size: BatchSize = 64,
    jobs: Jobs = None,
    threads: Threads = None,
    guard: SpreadsheetSafe = False,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List labels that differ from a model's prediction, the most likely errors first. Changes no file.

    \b
    Examples:
      ocrctl dataset suspects data/train -m runs/crnn
    """
    from ocrctl.runtime import keep_memory, share_cores

    share_cores()
    keep_memory()
    from ocrctl.core.dataset.default_spec import data_spec
    from ocrctl.core.dataset.suspects import SuspectsOptions
    from ocrctl.core.dataset.suspects import suspects as rank

    options = SuspectsOptions(data_spec(spec), model, limit, device, batch_size, jobs, threads)
    with ProgressBar("words") as progress:
        report = rank(options, progress)
    if as_json:
        for suspect in report.suspects:
            console.write_json(suspect)
    else:
        rows = [
            (f"{one.score:.3f}", repr(one.label), repr(one.reading), f"{one.confidence:.3f}", one.where)
            for one in report.suspects
        ]
        console.table(("score", "label", "prediction", "confidence", "where"), rows)
    for reason in report.unreadable:
        console.note(f"unreadable: {reason}")
    if report.doubt:
        console.note(f"warning: {report.doubt}")
    skipped = f", {report.uncompared:,} have no character of its charset" if report.uncompared else ""
    console.note(f"{report.disagree:,} of {report.read:,} labels differ from the prediction of {report.model}{skipped}")
