"""The command line as typed, for hints that repeat it with corrections, and the list of commands."""

from __future__ import annotations

import os
from collections.abc import Sequence

COMPLETE = "_OCRCTL_COMPLETE"  # set by a shell that requests completions instead of running a command
_words: list[str] = []


def remember(words: Sequence[str]) -> None:
    """Store the words after `ocrctl`."""
    _words[:] = words


def typed_words() -> list[str]:
    """Return the words after `ocrctl`."""
    return list(_words)


def quoted(words: Sequence[str]) -> str:
    """Join words into a command line, quoted for a shell where needed."""
    import shlex

    return shlex.join(words)


def completing() -> bool:
    """Return whether a shell requests completions."""
    return COMPLETE in os.environ


def command_paths(root: object) -> list[tuple[str, ...]]:
    """Return every command and group below `root`, the command `ocrctl`, a group before its members: ("lmdb",),
    ("lmdb", "info"), ..."""
    from typer import Context
    from typer.core import TyperGroup

    found: list[tuple[str, ...]] = []

    def walk(command: object, path: tuple[str, ...]) -> None:
        if not isinstance(command, TyperGroup):
            return
        context = Context(command)
        for name in command.list_commands(context):
            found.append((*path, name))
            walk(command.get_command(context, name), (*path, name))

    walk(root, ())
    return found
