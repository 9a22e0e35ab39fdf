"""Write the reference pages that the code itself states: every command with its options, and every setting.

    python .ci/reference_pages.py [FOLDER]      (default docs/reference)

The pages are build output: .gitignore names them, and .ci/run writes them before it builds the site.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

NOTICE = "<!-- Written by .ci/reference_pages.py; edit the code that it reads. -->\n"


def cell(text: str) -> str:
    """A text as one table cell: one line, pipes escaped, angle brackets readable."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


def code(text: str) -> str:
    """A text as code inside a table cell."""
    return "`" + re.sub(r"\s+", " ", text).replace("|", "\\|").strip() + "`"


def walk(command: Any, context: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield (path, command, context) of a command and of everything below it, in the order of the help."""
    yield path, command, context
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            yield from walk(below, type(context)(below, info_name=name, parent=context), (*path, name))


def paragraphs(text: str | None) -> str:
    """The help text of a command; what the terminal shows line by line stays so."""
    blocks = [block for block in (text or "").replace("\f", "").split("\n\n") if block.strip()]
    return "\n\n".join(
        "\n".join(f"    {line}" for line in block.strip("\n").splitlines()[1:])
        if block.lstrip().startswith("\b")
        else " ".join(block.split()).replace("<", "&lt;")
        for block in blocks
    )


def option_rows(command: Any, context: Any) -> Iterator[str]:
    """One table row for each argument and option that the help shows, in the words of the help."""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and parameter.name != "help":
            yield f"| {code(record[0])} | {cell(record[1])} |"


def commands_page() -> str:
    """Every command of `ocrctl` with its usage, help and options."""
    import typer

    from ocrctl.cli.app import app

    root = typer.main.get_command(app)
    context = root.make_context("ocrctl", [], resilient_parsing=True)
    out = [
        NOTICE,
        "# Commands\n",
        "Every command takes `-h` and `--help`. [Exit codes](exit-codes.md) and [output](output.md) are the same "
        "everywhere.\n",
    ]
    for path, command, here in walk(root, context):
        if path:
            out.append(f"{'#' * (1 + len(path))} {' '.join(path)}\n")
        out.append(f"```text\n{command.get_usage(here).removeprefix('Usage: ')}\n```\n")
        out.append(paragraphs(command.help) + "\n")
        rows = list(option_rows(command, here))
        if rows and path:
            out += ["| argument or option | |", "| --- | --- |", *rows, ""]
    return "\n".join(out)


def type_name(annotation: Any) -> str:
    """A field's type as a reader of TOML knows it; a choice as its words."""
    if get_origin(annotation) is not None and str(get_origin(annotation)).endswith("Literal"):
        return " ".join(f"`{word}`" for word in get_args(annotation))
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if parts and get_origin(annotation) not in (list, tuple, dict):
        return ", ".join(type_name(part) for part in parts)
    if get_origin(annotation) is not None:
        return str(annotation).replace("typing.", "")
    return {"int": "whole number", "float": "number", "str": "text", "bool": "`true` `false`"}.get(
        annotation.__name__, annotation.__name__
    )


def bounds(field: Any) -> str:
    """The limits of a number: `1 or more`, `above 0, below 1`."""
    words = {"ge": "{} or more", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
    found = [
        text.format(getattr(limit, name))
        for name, text in words.items()
        for limit in field.metadata
        if getattr(limit, name, None) is not None
    ]
    return ", ".join(found)


def settings_page() -> str:
    """Every setting by its dotted name: type, limits, default, meaning."""
    from pydantic import BaseModel

    from ocrctl.config.settings import Settings

    out = [
        NOTICE,
        "# Settings\n",
        "Set one with `--set NAME=VALUE`, with the environment variable `OCRCTL_SECTION__NAME`, or in a profile; "
        "[profiles.md](profiles.md) gives the precedence.\n",
    ]
    table = ["| setting | value | default | meaning |", "| --- | --- | --- | --- |"]

    def row(prefix: str, name: str, field: Any) -> str:
        limits = bounds(field)
        kind = type_name(field.annotation) + (f", {limits}" if limits else "")
        default = field.get_default(call_default_factory=True)
        shown = "" if default is None else code(str(default).lower() if isinstance(default, bool) else str(default))
        return f"| `{prefix}{name}` | {cell(kind)} | {shown} | {cell(field.description or '')} |"

    sections = {
        name: field
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    out += [*table, *(row("", n, f) for n, f in Settings.model_fields.items() if n not in sections), ""]
    for name, field in sections.items():
        about = (field.annotation.__doc__ or "").strip()
        out += [f"## {name}\n", cell(about) + "\n", *table]
        out += [*(row(f"{name}.", n, f) for n, f in field.annotation.model_fields.items()), ""]
    return "\n".join(out)


PAGES = {"commands.md": commands_page, "settings.md": settings_page}


def main() -> None:
    """Write the pages into the folder that is named, by default docs/reference."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "reference"
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
