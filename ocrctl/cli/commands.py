"""Which commands there are, read from the app itself, so that no list of them can go stale."""

from __future__ import annotations


def command_paths() -> list[tuple[str, ...]]:
    """Every command and group below `ocrctl`, groups before what they hold: ("lmdb",), ("lmdb", "info"), ..."""
    from typer.main import get_command

    from ocrctl.cli.app import app

    found: list[tuple[str, ...]] = []

    def walk(command: object, path: tuple[str, ...]) -> None:
        for name, child in sorted(getattr(command, "commands", {}).items()):
            found.append((*path, name))
            walk(child, (*path, name))

    walk(get_command(app), ())
    return found
