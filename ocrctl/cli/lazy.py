"""Groups that import a command's module, and build its parser, only when that command is requested.

Typer builds the parser of every command before it reads the command line; with thirty commands that takes
as long as importing Typer. `ocrctl --help` needs a name and a line of each, and a command needs only itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import getdoc
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from ocrctl.cli.command_line import completing
from ocrctl.cli.convert import avoid_pydantic
from ocrctl.cli.help import GroupedCommand, GroupedHelp

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter

# A command's function, the Typer app of a group of commands, or "module:name" of either, imported on first use.
Member = Callable[..., None] | typer.Typer | str

# `lmdb info` and `runs show` do much the same: either name works for both.
SYNONYMS = {"show": "info", "info": "show"}


class LazyGroup(GroupedHelp, TyperGroup):
    """A group of commands that are built on first request; its help gives each one's whole line, however narrow the
    terminal.

    `members` are its commands by name, `aliases` the same for names that work and are not listed.
    """

    members: Mapping[str, Member] = {}
    aliases: Mapping[str, Member] = {}

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse as Typer does, after `avoid_pydantic`."""
        avoid_pydantic(self, ctx)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Context) -> list[str]:
        """Return all names, in the order of `members`."""
        return list(self.members)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return the command of that name, or of its synonym where there is none; None when there is neither."""
        for name in (cmd_name, SYNONYMS.get(cmd_name, "")):
            member = self.members.get(name) or self.aliases.get(name)
            if member is not None:
                if name not in self.commands:
                    self.commands[name] = _build(name, _imported(member), ctx)
                return self.commands[name]
        return None

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Resolve as Typer does; an unknown name builds all commands, for "did you mean" to search."""
        if self.get_command(ctx, args[0]) is None:
            for name in (*self.members, *self.aliases):
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the `Commands:` section: each name with the first line of its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(_imported(member))) for name, member in self.members.items()])


class CommandApp(typer.Typer):
    """A Typer app of a group of commands, as a LazyGroup; without a command it prints its help."""

    def __init__(self, help: str) -> None:
        super().__init__(cls=LazyGroup, help=help, no_args_is_help=True, rich_markup_mode=None)
        self.members: dict[str, Member] = {}

    def command(self, name: str | None = None, **options: Any) -> Any:
        """Register a function as the command `name`."""

        def register(function: Callable[..., None]) -> Callable[..., None]:
            self.members[name or function.__name__] = function
            return function

        return register

    def add(self, name: str, where: str) -> None:
        """Add the command `name`, whose function is at `where` ("module:name"), imported on first use."""
        self.members[name] = where


def _imported(member: Member) -> Callable[..., None] | typer.Typer:
    if isinstance(member, str):
        module, _, name = member.partition(":")
        found: Callable[..., None] | typer.Typer = getattr(import_module(module), name)
        return found
    return member


def _build(name: str, member: Callable[..., None] | typer.Typer, parent: Context) -> Command:
    if isinstance(member, typer.Typer):
        command: Command = get_group(member)
        if isinstance(member, CommandApp) and isinstance(command, LazyGroup):
            command.members = member.members
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name, cls=GroupedCommand)(member)
        command = get_command(single)
    command.name = name
    avoid_pydantic(command, typer.Context(command, parent=parent))
    if completing():
        from ocrctl.cli.completion import offer_words

        offer_words(command)
    return command


def _summary(member: Callable[..., None] | typer.Typer) -> str:
    text = str(member.info.help or "") if isinstance(member, typer.Typer) else getdoc(member)
    return (text or "").partition("\n")[0]
