"""Groups that build a command's parser only when that command is requested.

Typer builds the parser of every command before it looks at the command line; with thirty commands that takes
as long as importing Typer. `ocrctl --help` needs a name and a line of each, and a command needs only itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import getdoc
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from ocrctl.cli.command_line import completing
from ocrctl.cli.help import GroupedCommand, GroupedHelp

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter

Member = Callable[..., None] | typer.Typer

# `lmdb info` and `runs show` do much the same: either name works for both.
SYNONYMS = {"show": "info", "info": "show"}


class Group(GroupedHelp, TyperGroup):
    """A group of commands whose help gives each one's whole line, however narrow the terminal."""

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return the command of that name, or of its synonym where there is none."""
        found = super().get_command(ctx, cmd_name) or super().get_command(ctx, SYNONYMS.get(cmd_name, ""))
        return _with_completions(found) if found is not None and completing() else found

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the `Commands:` section: each name with the first line of its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_line(self.commands[name].help)) for name in self.list_commands(ctx)])


class CommandApp(typer.Typer):
    """A Typer app of a group of commands with grouped help pages; without a command it prints its help."""

    def __init__(self, help: str) -> None:
        super().__init__(cls=Group, help=help, no_args_is_help=True, rich_markup_mode=None)

    def command(self, name: str | None = None, **options: Any) -> Any:
        """Register a function as a command, as Typer does."""
        return super().command(name, **{"cls": GroupedCommand, **options})


class LazyGroup(GroupedHelp, TyperGroup):
    """Subclass it with `members`: command name to its function, or to the Typer app of a group of commands; `aliases`:
    the same for names that work and are not listed."""

    members: ClassVar[Mapping[str, Member]] = {}
    aliases: ClassVar[Mapping[str, Member]] = {}

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse as Typer does, after `avoid_pydantic`."""
        avoid_pydantic(self, ctx)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Context) -> list[str]:
        """Return all names, in the order of `members`."""
        return list(self.members)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return the command, built on first request; None when there is no such name."""
        member = self.members.get(cmd_name) or self.aliases.get(cmd_name)
        if member is not None and cmd_name not in self.commands:
            self.commands[cmd_name] = _build(cmd_name, member, ctx)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """Resolve as Typer does; an unknown name builds all commands, for "did you mean" to search."""
        if args[0] not in self.members and args[0] not in self.aliases:
            for name in (*self.members, *self.aliases):
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the `Commands:` section: each name with the first line of its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(member)) for name, member in self.members.items()])


def avoid_pydantic(command: Command, ctx: Context) -> None:
    """Set the default of Typer's own flags (--help, --install-completion) to False instead of None.

    Typer converts every value that is not yet of its parameter's type, and imports pydantic for that: 0.3 s more for
    every command below a group, and for every completion.
    """
    for parameter in command.get_params(ctx):
        if parameter.default is None and getattr(parameter, "is_flag", False):
            parameter.default = False


def _build(name: str, member: Member, parent: Context) -> Command:
    if isinstance(member, typer.Typer):
        command: Command = get_group(member)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name, cls=GroupedCommand)(member)
        command = get_command(single)
    command.name = name
    avoid_pydantic(command, typer.Context(command, parent=parent))
    return _with_completions(command) if completing() else command


def _with_completions(command: Command) -> Command:
    """Return the command with words for the shell to complete its parameters."""
    from ocrctl.cli.completion import offer_words

    offer_words(command)
    return command


def _summary(member: Member) -> str:
    return first_line(str(member.info.help or "") if isinstance(member, typer.Typer) else getdoc(member))


def first_line(text: str | None) -> str:
    """Return the first line of a help text."""
    return (text or "").partition("\n")[0]
