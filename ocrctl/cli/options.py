"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli.console import set_guard, set_quiet
from ocrctl.shell import shell_quote


def _quiet(value: bool) -> bool:
    set_quiet(value)
    return value


def _guard(value: bool) -> bool:
    set_guard(value)
    return value


def _plugged(context: typer.Context, files: list[Path] | None) -> list[Path] | None:
    if files and not context.resilient_parsing:
        from ocrctl.config.plugins import use_plugins

        context.with_resource(use_plugins(files))
    return files


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object (a stream prints JSON lines).")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", callback=_quiet, help="Only results and errors.")]
SpreadsheetSafe = Annotated[
    bool,
    typer.Option(
        "--spreadsheet-safe",
        callback=_guard,
        help="Put ' before cells that a spreadsheet would take for formulas (=, +, -, @).",
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "-d", "--data", metavar="SPEC", help="Data: a path, FORMAT:PATH, synth:words or synth:pages. Repeatable."
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option("-p", "--profile", metavar="PROFILE", help="Profile name or TOML file; later ones win. Repeatable."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="K=V", help="One setting, such as train.lr=1e-3. Repeatable."),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        callback=_plugged,
        envvar="OCRCTL_PLUGIN",
        help="A format or a model that is not built in. Repeatable.",
    ),
]


def plugin_flags(files: list[Path] | None) -> str:
    """The `--plugin` options of this command, for the one it suggests next."""
    return "".join(f" --plugin {shell_quote(file)}" for file in files or ())


Decoding = Annotated[
    str | None,
    typer.Option(
        "--decoding",
        metavar="ar|nar",
        help="How an autoregressive recogniser reads: character by character, or all at once. Default: its own.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda[:I]", help="CUDA that is not usable is exit 4.")
]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, max=1 << 20, help="Pictures per forward pass.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", min=0, help="Threads that decode ahead (default: half the cores, at most 8).")
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, max=1024, help="CPU threads of the model (default: all cores).")
]
