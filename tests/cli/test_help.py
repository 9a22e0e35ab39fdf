"""Help pages: options in groups, examples that parse, headings that stand out on a terminal alone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command

from ocrctl.cli import console
from ocrctl.cli.app import app, run
from ocrctl.cli.help import GROUPS

EXAMPLED = ["train", "eval", "predict", "export"]


def commands() -> Iterator[tuple[str, object, Context]]:
    """(path, command, context) of every command that is no group."""

    def walk(command: object, context: Context, path: str) -> Iterator[tuple[str, object, Context]]:
        if not isinstance(command, TyperGroup):
            yield path, command, context
            return
        for name in command.list_commands(context):
            member = command.get_command(context, name)
            yield from walk(member, Context(member, info_name=name, parent=context), f"{path} {name}".strip())

    root = get_command(app)
    yield from walk(root, Context(root, info_name="ocrctl"), "")


COMMANDS = {path: (command, context) for path, command, context in commands()}


def sections(page: str) -> dict[str, list[str]]:
    """The options of a page by heading, in its order."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in page.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            heading = line[:-1]
        elif option := re.match(r"  (?:-\w, )?(--[\w-]+)", line):
            found.setdefault(heading, []).append(option[1])
    return found


def page_of(path: str) -> str:
    command, context = COMMANDS[path]
    return command.get_help(context)


def test_options_of_a_large_command_stand_in_groups() -> None:
    for path, expected in {
        "train": {"Inputs": "--data", "Model": "--from", "Output": "--out", "Runtime": "--devices"},
        "predict": {"Model": "--model", "Output": "--format", "Runtime": "--jobs"},
        "eval": {"Inputs": "--gt", "Scores": "--protocol", "Output": "--report", "Runtime": "--device"},
        "dataset validate": {"Inputs": "--data", "Checks": "--against", "Output": "--github"},
        "dataset clean": {"Fixes": "--repair", "Output": "--out"},
    }.items():
        found = sections(page_of(path))
        for group, option in expected.items():
            assert option in found[group], (path, group)
        assert list(found)[-1] == "Options" and found["Options"] == ["--help"], path
        named = [name for name in found if name in GROUPS]
        assert named == sorted(named, key=GROUPS.index)


def test_every_option_stands_on_the_page_once() -> None:
    for path, (command, _) in COMMANDS.items():
        listed = [option for options in sections(page_of(path)).values() for option in options]
        options = [
            next(name for name in one.opts if name.startswith("--"))
            for one in command.params
            if one.param_type_name == "option"
        ]
        assert sorted(listed) == sorted([*options, "--help"]), path
        if len(listed) <= 5:
            assert "Inputs:" not in page_of(path) and "Output:" not in page_of(path), f"{path}: one section is enough"


def test_examples_parse_and_fit_a_terminal() -> None:
    found = {path: re.findall(r"^    (ocrctl .+)$|\| (ocrctl .+)$", page_of(path), re.M) for path in COMMANDS}
    assert all(len(found[path]) > 1 for path in EXAMPLED)
    assert all(found[path] for path in ("dataset validate", "dataset clean", "dataset split", "lmdb build"))
    for path, lines in found.items():
        for piped in lines:
            line = "".join(piped)
            words = shlex.split(line)
            assert len(line) <= 76 and words[1 : 1 + len(path.split())] == path.split(), line
            command, context = COMMANDS[path]
            command.make_context(context.info_name, words[1 + len(path.split()) :], parent=context.parent)
    console.set_quiet(False)


@pytest.mark.parametrize(
    ("environment", "bold"), [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, False)]
)
def test_headings_are_bold_on_a_terminal(
    environment: dict[str, str], bold: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    page = page_of("train")
    assert ("\x1b[1mInputs\x1b[0m:" in page) == bold and ("\x1b" in page) == bold
    assert re.sub(r"\x1b\[\d*m", "", page) == page.replace("\x1b[1m", "").replace("\x1b[0m", "")


def test_help_of_a_bare_group_in_a_pipe_has_no_colour(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run(["dataset"]) == 2
    shown = capsys.readouterr().err
    assert "Commands:" in shown and "\x1b" not in shown
