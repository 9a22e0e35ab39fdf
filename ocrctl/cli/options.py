"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli.console import set_quiet


def _quiet(value: bool) -> bool:
    set_quiet(value)
    return value


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object (a stream prints JSON lines).")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", callback=_quiet, help="Only results and errors.")]
Data = Annotated[
    list[str] | None,
    typer.Option("-d", "--data", metavar="SPEC", help="Data: a path, FORMAT:PATH, or synth:words. Repeatable."),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option("-p", "--profile", metavar="PROFILE", help="Profile name or TOML file; later ones win. Repeatable."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="K=V", help="One setting, such as train.lr=1e-3. Repeatable."),
]
Decoding = Annotated[
    str | None,
    typer.Option(
        "--decoding",
        metavar="ar|nar",
        help="How PARSeq reads: character by character, or all at once. Default: its own.",
    ),
]
Run = Annotated[Path | None, typer.Option("-o", "--out", metavar="RUN", help="Run folder.")]
