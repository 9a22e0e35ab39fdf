"""`ocrctl diagnose cuda|environment|loader|model|replay`: find what breaks training and inference."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.early import check_architecture_or_model, check_specs
from ocrctl.cli.help import MODEL, RUNTIME, TRAINING
from ocrctl.cli.lazy import CommandApp
from ocrctl.cli.options import Charset, Data, Json, Plugins, Profiles, Quiet, Sets
from ocrctl.cli.progress import ProgressBar

if TYPE_CHECKING:
    from ocrctl.diagnose.checks import Check, Diagnosis

Arch = Annotated[
    str | None,
    typer.Option(
        "--arch",
        metavar="ARCH",
        help="Architecture to check with. Default: the profile's.",
        rich_help_panel=MODEL,
    ),
]
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
            help="Also run the checks of `diagnose loader` on this dataset.",
        ),
    ] = None,
    arch: Arch = None,
    profile: Profiles = None,
    sets: Sets = None,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check driver, cards, cuDNN, arithmetic in each precision, copies, the largest batch, groups and ONNX Runtime.

    What needs no GPU runs without one; the rows that were skipped for one reason are listed in one.
    """
    check_specs([check_loader] if check_loader is not None else [])
    from ocrctl.core.diagnose.machine import diagnose_cuda

    settings = None
    if arch or profile or sets:
        from ocrctl.core.train.run import load_train_settings

        settings = load_train_settings(profile, sets or [], {"arch": arch})
    with ProgressBar("checks") as progress:
        result = diagnose_cuda(loader_spec=check_loader, settings=settings, on_step=progress)
    with console.ignoring_closed_pipe():
        _show(result, as_json)
    if require and not result.usable:
        from ocrctl.errors import MissingRequirement

        why = result.failed[0].detail if result.device and result.failed else "there is no GPU"
        raise MissingRequirement(f"CUDA was required and is not usable: {why}.")
    if result.failed:
        raise typer.Exit(1)


@app.command("environment")
def environment(
    charset: Annotated[
        str,
        typer.Option(
            "--charset", metavar="FILE", help="Charset that previews have to draw: a file, or a built-in one."
        ),
    ] = "ascii94",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check packages, OpenMP, oneDNN, threads, memory, files, disks, locale, fonts, clock and container limits."""
    from ocrctl.core.diagnose.machine import diagnose_environment

    _finish(diagnose_environment(charset=charset), as_json)


@app.command("loader")
def loader(
    data: Data = None,
    arch: Arch = None,
    profile: Profiles = None,
    sets: Sets = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=0,
            max=1024,
            help="Measure 0 to N loader processes. Default: the cores, 8 at most.",
            rich_help_panel=RUNTIME,
        ),
    ] = None,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check loader processes on a dataset: start methods, LMDB handles, /dev/shm, seeds, speed, number of processes.

    \b
    Examples:
      ocrctl diagnose loader -d data/train
      ocrctl diagnose loader -d pages/ -p rtx3060 --workers 4
    """
    from ocrctl.core.train.run import load_train_settings

    settings = load_train_settings(profile, sets or [], {"data": {"train": data}})
    if not settings.data.train:
        from ocrctl.errors import UsageError

        raise UsageError("diagnose loader requires a dataset.", hint="ocrctl diagnose loader -d SPEC")
    check_specs(settings.data.train)
    from ocrctl.core.diagnose.loader import diagnose_loader

    with ProgressBar("checks") as progress:
        result = diagnose_loader(settings, workers, arch=arch, on_step=progress)
    _finish(result, as_json)


@app.command("model")
def model(
    subject: Annotated[
        str, typer.Argument(metavar="ARCH|MODEL", help="Architecture, or a checkpoint, run folder or default:NAME.")
    ],
    data: Data = None,
    profile: Profiles = None,
    sets: Sets = None,
    charset: Charset = None,
    steps: Annotated[
        int,
        typer.Option(
            "--steps", min=1, help="Optimiser steps in which one batch must be overfitted.", rich_help_panel=TRAINING
        ),
    ] = 300,
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check that a model can learn: masks, padding, gradients, finite losses, one overfitted batch, export.

    A run folder is checked with the settings and data of its run, unless -p is given. Else, without -d, the synthetic
    stream of the task is used. Names the symptom where one batch is not overfitted.

    \b
    Examples:
      ocrctl diagnose model crnn -d data/train
      ocrctl diagnose model runs/crnn
    """
    check_architecture_or_model(subject)
    from ocrctl.core.train.run import load_train_settings
    from ocrctl.models.registry import specs

    if not profile and subject not in specs() and (config := Path(subject).expanduser() / "config.toml").is_file():
        profile = [str(config)]
    settings = load_train_settings(profile, sets or [], {"data": {"train": data, "charset": charset}})
    check_specs(settings.data.train or ())
    if settings.data.charset is not None:
        from ocrctl.text.charset import Charset as Characters

        Characters.load(settings.data.charset)  # raises for an unknown one before torch is imported
    from ocrctl.core.diagnose.model import ModelRequest, diagnose_model

    request = ModelRequest(subject, settings, steps)
    with ProgressBar("steps") as progress:
        result = diagnose_model(request, progress)
    _finish(result, as_json)


@app.command("replay")
def replay(
    folder: Annotated[Path, typer.Argument(metavar="STEP", help="A folder such as RUN/quarantine/step-0000123.")],
    plugin: Plugins = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Replay a training step whose loss was not finite: weights, samples, first bad layer, gradients."""
    from ocrctl.core.diagnose.machine import diagnose_replay

    _finish(diagnose_replay(folder), as_json)


def _finish(result: Diagnosis, as_json: bool) -> None:
    """Print the rows; exit 1 if one failed."""
    with console.ignoring_closed_pipe():
        _show(result, as_json)
    if result.failed:
        raise typer.Exit(1)


def _skipped_together(checks: Iterable[Check]) -> list[Check]:
    """Return the rows with one row, at the end, for all that were skipped for the same reason."""
    from ocrctl.diagnose.checks import Check

    reasons: dict[str, list[str]] = {}
    for row in checks:
        if row.status == "skipped":
            reasons.setdefault(row.detail, []).append(row.name)
    kept = [row for row in checks if row.status != "skipped" or len(reasons[row.detail]) == 1]
    return kept + [Check(", ".join(names), "skipped", why) for why, names in reasons.items() if len(names) > 1]


def _show(result: Diagnosis, as_json: bool) -> None:
    if as_json:
        console.write_json(result)
        return
    checks = _skipped_together(result.checks)
    if not sys.stdout.isatty():
        rows = [(row.status, row.name, row.detail, row.fix, row.meaning, row.examined) for row in checks]
        console.table(("status", "check", "detail", "fix", "meaning", "examined"), rows)
        console.note(result.summary)
        return
    import textwrap

    indent = " " * 9
    for row in checks:
        text = textwrap.wrap(f"{row.name}: {row.detail}", console.columns() - len(indent))
        for label, value in (("examined", row.examined), ("means", row.meaning), ("fix", row.fix)):
            text += textwrap.wrap(f"{label}: {value}" if value else "", console.columns() - len(indent))
        console.write(f"  {text[0]}", style=COLOURS[row.status], styled=f"{row.status:<7}")
        for line in text[1:]:
            console.write(f"{indent}{line}")
    console.note(result.summary)
