"""A group that reads a command's signature only when that command is asked for.

Typer builds the parser of every command before it looks at the command line; with thirty commands that is as much work
as importing Typer. `ocrctl --help` needs a name and a line of each, and a command needs only itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import getdoc
from typing import TYPE_CHECKING, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from ocrctl.cli.command_line import completing

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter

Member = Callable[..., None] | typer.Typer


# Whoever guesses one of the two has guessed right: `lmdb info` and `runs show` describe something alike.
SYNONYMS = {"show": "info", "info": "show"}


class Group(TyperGroup):
    """A group of commands whose help gives each one's whole line, however narrow the terminal."""

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """The command of that name, or of its synonym where there is none."""
        found = super().get_command(ctx, cmd_name) or super().get_command(ctx, SYNONYMS.get(cmd_name, ""))
        return _offering(found) if found is not None and completing() else found

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """The `Commands:` section, from the names and the first line of each one's help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, first_line(self.commands[name].help)) for name in self.list_commands(ctx)])


class LazyGroup(TyperGroup):
    """Subclass it with `members`: command name to its function, or to the Typer app of a group of commands; `aliases`:
    the same for names that work and are not listed."""

    members: ClassVar[Mapping[str, Member]] = {}
    aliases: ClassVar[Mapping[str, Member]] = {}

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """As Typer does it, after `spare_pydantic`."""
        spare_pydantic(self, ctx)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Context) -> list[str]:
        """All names, in the order given."""
        return list(self.members)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """The command, built on first request; None when there is no such name."""
        member = self.members.get(cmd_name) or self.aliases.get(cmd_name)
        if member is not None and cmd_name not in self.commands:
            self.commands[cmd_name] = _build(cmd_name, member, ctx)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        """As Typer does it; for an unknown name all are built, since "did you mean" looks among the built ones."""
        if args[0] not in self.members and args[0] not in self.aliases:
            for name in (*self.members, *self.aliases):
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """The `Commands:` section, from the names and the first line of each one's help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(member)) for name, member in self.members.items()])


def spare_pydantic(command: Command, ctx: Context) -> None:
    """Let Typer's own flags (--help, --install-completion) default to False instead of None.

    Typer converts every value that is not yet of its parameter's type, and for that it imports pydantic: 0.3 s which
    every command with a group above it, and every completion, would pay before it starts.
    """
    for parameter in command.get_params(ctx):
        if parameter.default is None and getattr(parameter, "is_flag", False):
            parameter.default = False


def _build(name: str, member: Member, parent: Context) -> Command:
    if isinstance(member, typer.Typer):
        command: Command = get_group(member)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name)(member)
        command = get_command(single)
    command.name = name
    spare_pydantic(command, typer.Context(command, parent=parent))
    return _offering(command) if completing() else command


def _offering(command: Command) -> Command:
    """The command, its parameters offering words to the shell."""
    from ocrctl.cli.completion import offer_words

    offer_words(command)
    return command


def _summary(member: Member) -> str:
    return first_line(str(member.info.help or "") if isinstance(member, typer.Typer) else getdoc(member))


def first_line(text: str | None) -> str:
    """Of a help text, without the rest."""
    return (text or "").partition("\n")[0]
