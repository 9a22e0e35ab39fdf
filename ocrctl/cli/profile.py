"""`ocrctl profile`: list, show, check and copy profiles, TOML files of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrctl.cli import console
from ocrctl.cli.lazy import CommandApp
from ocrctl.cli.options import Json, Plugins, Quiet
from ocrctl.errors import counted
from ocrctl.shell import shell_quote

app = CommandApp("List, show, check and copy profiles, TOML files of settings.")
Name = Annotated[str, typer.Argument(metavar="PROFILE", help="Name or TOML file.")]


@app.command("list")
def list_(json: Json = False, quiet: Quiet = False) -> None:
    """List the shipped profiles."""
    from ocrctl.core.profile import list_profiles

    entries = list_profiles()
    if json:
        console.write_json({"profiles": entries})
    else:
        console.table(["profile", "description"], [(entry.name, entry.description) for entry in entries])


@app.command("show")
def show(name: Name, json: Json = False, quiet: Quiet = False) -> None:
    """Print a profile."""
    from ocrctl.config.profiles import load_profile
    from ocrctl.core.profile import show_profile

    if json:
        console.write_json(load_profile(name))
    else:
        console.write_lines(show_profile(name).rstrip("\n"))


@app.command("check")
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="PROFILE...", help="Default: all shipped ones.")] = None,
    settings: Annotated[
        bool, typer.Option("--settings", help="List every setting with its default and meaning.")
    ] = False,
    plugin: Plugins = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check profiles for unknown names, wrong types and values out of range; exit 2 if there is one."""
    from ocrctl.core.profile import check_profiles, list_settings

    if settings:
        entries = list_settings()
        if json:
            console.write_json({"settings": entries})
        else:
            console.table(
                ["setting", "default", "meaning"],
                [(entry.name, "-" if entry.default is None else entry.default, entry.help) for entry in entries],
            )
        return
    checked = check_profiles(names or [])
    if json:
        console.write_json({"checked": checked})
    else:
        verb = "is" if len(checked) == 1 else "are"
        console.write(f"{counted(len(checked), 'profile')} {verb} valid: {', '.join(checked)}")


@app.command("copy")
def copy(
    name: Name,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="New file, or a folder.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE when it exists.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Copy a profile to edit it."""
    from ocrctl.core.profile import copy_profile

    path = copy_profile(name, target, overwrite=overwrite)
    if json:
        console.write_json({"path": path})
    else:
        console.write(str(path))
    console.suggest(f"ocrctl train -p {shell_quote(path)}")
