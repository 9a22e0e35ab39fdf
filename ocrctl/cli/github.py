"""Print findings as annotations of a GitHub Actions run.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from ocrctl.cli import console
from ocrctl.cli.help import OUTPUT
from ocrctl.errors import UsageError
from ocrctl.escape import visible

Level = Literal["error", "warning", "notice"]
SHOWN = 50  # annotations of one title; GitHub itself shows 10 of each level a step, the log holds all that is printed

GitHub = Annotated[
    bool,
    typer.Option("--github", help="Print findings as annotations of a GitHub Actions run.", rich_help_panel=OUTPUT),
]


@dataclass(frozen=True)
class Annotation:
    """One finding: `file` as the command line names it, `line` 0 where it has none."""

    message: str
    file: str = ""
    line: int = 0


def check_github(github: bool, as_json: bool) -> None:
    """Raise UsageError for --github beside --json: both write stdout."""
    if github and as_json:
        raise UsageError("--github and --json cannot be combined: both write stdout.", hint="choose one of them")


def annotate(
    level: Level,
    title: str,
    found: Iterable[Annotation],
    *,
    total: int,
    shown: int = SHOWN,
    how: str = "",
) -> None:
    """Print annotations to stdout, the first `shown` (0: all) of `found`.

    Where `total`, the number of findings under `title`, is more than those printed, one more annotation says how many
    are not shown and `how` to see them: a command.
    """
    printed = 0
    for one in found:
        if shown and printed == shown:
            break
        _print(level, title, one)
        printed += 1
    if printed < total:
        see = f" To see all: {how}" if how else ""
        _print("notice", title, Annotation(f"{total - printed:,} more of {total:,} are not shown.{see}"))


def _print(level: Level, title: str, one: Annotation) -> None:
    properties = {"file": _below(one.file) if one.file else "", "line": str(one.line or ""), "title": title}
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    console.write(f"::{level} {listed}::{_message(one.message)}")


def failed(title: str, sentences: Sequence[str]) -> None:
    """Print an error annotation for each of `sentences`, all of them."""
    annotate("error", title, [Annotation(sentence) for sentence in sentences], total=len(sentences), shown=0)


def _below(path: str) -> str:
    """`path` as GitHub finds it: from the top of the repository, where it lies within."""
    base = os.environ.get("GITHUB_WORKSPACE") or os.getcwd()
    whole = os.path.abspath(path)
    return os.path.relpath(whole, base) if whole.startswith(os.path.join(base, "")) else path


def _message(text: str) -> str:
    """`text` as GitHub documents it for the message of a command; other controls than line breaks are shown."""
    return visible(text, keep="\r\n").replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """`text` as GitHub documents it for a property of a command."""
    return _message(text).replace(":", "%3A").replace(",", "%2C")
