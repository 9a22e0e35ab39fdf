"""Help pages: options in groups, and headings that stand out on a terminal.

A group is the `rich_help_panel` of an option, as in any Typer app. The page is plain text laid out by Typer's own
formatter: drawing it with rich would take as long as all else that `--help` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer._click import HelpFormatter
from typer.core import TyperCommand

from ocrctl.cli import console

if TYPE_CHECKING:
    from typer._click import Command, Context

INPUTS, MODEL, CHECKS, FIXES, SCORES, TRAINING, OUTPUT, RUNTIME = GROUPS = (
    "Inputs", "Model", "Checks", "Fixes", "Scores", "Training", "Output", "Runtime",
)  # fmt: skip
_OTHERS = "Options"  # of no group
_FEW = 5  # options, --help included, that need no groups


class Formatter(HelpFormatter):
    """Typer's, with bold headings where stdout takes colour."""

    def write_heading(self, heading: str) -> None:
        """Write `heading`, a colon behind it."""
        super().write_heading(f"\x1b[1m{heading}\x1b[0m" if console.colour() else heading)


class GroupedHelp:
    """Mixed into a Typer command: its help page with options in groups."""

    def get_help(self: Any, ctx: Context) -> str:
        """Return the page as text."""
        formatter = Formatter(width=ctx.terminal_width, max_width=ctx.max_content_width)
        self.format_help(ctx, formatter)
        return formatter.getvalue().rstrip("\n")

    def format_options(self: Any, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the arguments, then the options group by group; a group of commands lists those, too."""
        for heading, rows in option_groups(self, ctx).items():
            with formatter.section(heading):
                formatter.write_dl(rows)
        if hasattr(self, "format_commands"):
            self.format_commands(ctx, formatter)


class GroupedCommand(GroupedHelp, TyperCommand):
    """A command with such a page."""


def option_groups(command: Command, ctx: Context) -> dict[str, list[tuple[str, str]]]:
    """Group the (option, help) rows of a command by heading, in the order of GROUPS; those of no group last."""
    arguments: list[tuple[str, str]] = []
    groups: dict[str, list[tuple[str, str]]] = {name: [] for name in (*GROUPS, _OTHERS)}
    for parameter in command.get_params(ctx):
        row = parameter.get_help_record(ctx)
        if row is None:
            continue
        if parameter.param_type_name == "argument":
            arguments.append(row)
        else:
            groups[getattr(parameter, "rich_help_panel", None) or _OTHERS].append(row)
    if sum(map(len, groups.values())) <= _FEW:
        groups = {_OTHERS: [row for rows in groups.values() for row in rows]}
    return {heading: rows for heading, rows in ({"Arguments": arguments} | groups).items() if rows}
