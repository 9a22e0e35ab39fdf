"""The words of a command line become what Typer makes of them, without pydantic."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer import Context
from typer._click.exceptions import BadParameter
from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_command

from ocrctl.cli.app import app

WORDS = [
    None, "", "a", "-1", "0", "1", "+7", "007", " 3 ", "1_0", "1.5", "1e3", "1e-3", "-.5", "5.", "nan", "inf", "true",
    "1048576", "1048577", "99999999999999999999", "١", ".", "/etc/passwd", "missing/file", "ü", "yes", "0x10",
]  # fmt: skip


def every_parameter() -> list[TyperArgument | TyperOption]:
    """Every parameter of every command."""
    found = []

    def walk(command, parent):
        context = Context(command, info_name="ocrctl", parent=parent)
        found.extend(one for one in command.params if isinstance(one, TyperArgument | TyperOption))
        if isinstance(command, TyperGroup):
            for name in command.list_commands(context):
                walk(command.get_command(context, name), context)

    walk(get_command(app), None)
    return found


def outcome(runtime, parameter, value):
    """What a conversion gives, with its type; or the message of its error."""
    context = Context(get_command(app))
    try:
        result = runtime.coerce(value, param=parameter, ctx=context)
    except BadParameter as error:
        return "error", error.message
    return repr(result), [type(item) for item in result] if isinstance(result, list) else type(result)


def test_every_parameter_converts_as_typer_does(tmp_path: Path):
    parameters = every_parameter()
    kinds = {str(one.type_descriptor.annotation) for one in parameters}
    assert len(parameters) > 200 and len(kinds) > 5
    alike = {}
    for one in parameters:
        info = one.type_descriptor.parameter_info
        limits = (
            info.min,
            info.max,
            info.exists,
            info.file_okay,
            info.dir_okay,
            info.path_type,
            one.nargs,
            one.multiple,
        )
        alike[(one.type_descriptor.annotation, *limits)] = one
    for parameter in alike.values():
        typers = type(parameter).get_runtime_param(parameter)
        several = parameter.multiple or parameter.nargs == -1
        for word in [*WORDS, str(tmp_path)]:
            for value in [[word], (word, "b"), word] if several and word is not None else [word]:
                ours = outcome(parameter.get_runtime_param(), parameter, value)
                assert ours == outcome(typers, parameter, value), (parameter.name, value)


@pytest.mark.parametrize("arguments", [["import-timing", "--list"], ["dataset", "validate", "missing", "--limit", "3"]])
def test_parsing_needs_no_pydantic(arguments: list[str]):
    code = (
        "import sys; from ocrctl.cli.app import run; "
        f"code = run({arguments!r}); print('pydantic' in sys.modules, code, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] in ("False 0", "False 3", "False 2"), done.stderr
