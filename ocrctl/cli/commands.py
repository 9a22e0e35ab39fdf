"""List the commands, read from the app itself."""

from __future__ import annotations


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
