"""`ocrctl diagnose cuda|environment|replay`: find what breaks training and inference."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.lazy import CommandApp
from ocrctl.cli.options import Json, Plugins, Quiet

if TYPE_CHECKING:
    from ocrctl.diagnose.checks import Diagnosis

COLOURS = {"ok": "32", "warn": "33", "fail": "31", "skipped": "2"}

app = CommandApp("Find what breaks training and inference, and how to fix it.")


@app.command("cuda")
def cuda(
    require: Annotated[bool, typer.Option("--require", help="Exit 4 if there is no usable CUDA device.")] = False,
    check_loader: Annotated[
        str | None,
        typer.Option(
            "--check-loader",
            metavar="SPEC",
            help="Also check loader processes on this dataset: fork, spawn, LMDB, /dev/shm.",
        ),
    ] = None,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check the CUDA driver, runtime, cuDNN, memory, ONNX Runtime, a matrix product and a convolution."""
    from ocrctl.core.diagnose import diagnose_cuda

    result = diagnose_cuda(loader_spec=check_loader)
    with console.ignoring_closed_pipe():
        _show(result, as_json)
    if require and not result.usable:
        from ocrctl.errors import MissingRequirement

        why = result.failed[0].detail if result.device and result.failed else "there is no GPU"
        raise MissingRequirement(f"CUDA was required and is not usable: {why}.")
    if result.failed:
        raise typer.Exit(1)


@app.command("environment")
def environment(as_json: Json = False, quiet: Quiet = False) -> None:
    """Check versions, conflicting packages, threads, shared memory and limits."""
    from ocrctl.core.diagnose import diagnose_environment

    result = diagnose_environment()
    with console.ignoring_closed_pipe():
        _show(result, as_json)
    if result.failed:
        raise typer.Exit(1)


@app.command("replay")
def replay(
    folder: Annotated[Path, typer.Argument(metavar="STEP", help="A folder such as RUN/quarantine/step-0000123.")],
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Replay a training step whose loss was not finite: weights, samples, first bad layer, gradients."""
    from ocrctl.core.diagnose import diagnose_replay

    result = diagnose_replay(folder)
    with console.ignoring_closed_pipe():
        _show(result, as_json)
    if result.failed:
        raise typer.Exit(1)


def _show(result: Diagnosis, as_json: bool) -> None:
    if as_json:
        console.write_json(result)
        return
    if not sys.stdout.isatty():
        rows = [(row.status, row.name, row.detail, row.fix) for row in result.checks]
        console.table(("status", "check", "detail", "fix"), rows)
        console.note(result.summary)
        return
    import textwrap

    indent = " " * 9
    for row in result.checks:
        text = textwrap.wrap(f"{row.name}: {row.detail}", console.columns() - len(indent))
        text += textwrap.wrap(f"fix: {row.fix}" if row.fix else "", console.columns() - len(indent))
        console.write(f"  {text[0]}", style=COLOURS[row.status], styled=f"{row.status:<7}")
        for line in text[1:]:
            console.write(f"{indent}{line}")
    console.note(result.summary)
