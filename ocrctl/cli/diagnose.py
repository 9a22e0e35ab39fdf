"""`ocrctl diagnose cuda|environment|replay`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.lazy import Group
from ocrctl.cli.options import Json, Plugins, Quiet

if TYPE_CHECKING:
    from ocrctl.diagnose.checks import Diagnosis

COLOURS = {"ok": "32", "warn": "33", "fail": "31", "skipped": "2"}

app = typer.Typer(
    cls=Group,
    help="Look for what breaks training and serving, and say how to mend it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("cuda")
def cuda(
    require: Annotated[bool, typer.Option("--require", help="Exit 4 when no usable CUDA device is there.")] = False,
    check_loader: Annotated[
        str | None,
        typer.Option(
            "--check-loader",
            metavar="SPEC",
            help="Also check loader processes on this data: fork, spawn, LMDB, /dev/shm.",
        ),
    ] = None,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Driver, runtime, cuDNN, memory, a product and a convolution on the GPU, ONNX Runtime."""
    from ocrctl.core.diagnose import diagnose_cuda

    result = diagnose_cuda(loader_spec=check_loader)
    with console.to_the_end():
        _show(result, as_json)
    if require and not result.usable:
        from ocrctl.errors import MissingRequirement

        why = result.failed[0].detail if result.device and result.failed else "there is no GPU"
        raise MissingRequirement(f"CUDA was required and is not usable: {why}.")
    if result.failed:
        raise typer.Exit(1)


@app.command("environment")
def environment(as_json: Json = False, quiet: Quiet = False) -> None:
    """Versions, packages that break each other, threads, shared memory, limits."""
    from ocrctl.core.diagnose import diagnose_environment

    result = diagnose_environment()
    with console.to_the_end():
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
    """Play back a training step whose loss was not finite: weights, samples, first bad layer, gradients."""
    from ocrctl.core.diagnose import diagnose_replay

    result = diagnose_replay(folder)
    with console.to_the_end():
        _show(result, as_json)
    if result.failed:
        raise typer.Exit(1)


def _show(result: Diagnosis, as_json: bool) -> None:
    if as_json:
        console.write_json(result)
        return
    if not sys.stdout.isatty():
        rows = [(row.status, row.name, row.detail, row.mend) for row in result.checks]
        console.table(("status", "check", "detail", "fix"), rows)
        console.note(result.summary)
        return
    import textwrap

    indent = " " * 9
    for row in result.checks:
        text = textwrap.wrap(f"{row.name}: {row.detail}", console.columns() - len(indent))
        text += textwrap.wrap(f"mend: {row.mend}" if row.mend else "", console.columns() - len(indent))
        console.write(f"  {text[0]}", style=COLOURS[row.status], styled=f"{row.status:<7}")
        for line in text[1:]:
            console.write(f"{indent}{line}")
    console.note(result.summary)
