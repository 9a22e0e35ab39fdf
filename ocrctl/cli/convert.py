"""Convert the words of a command line to text, numbers and paths without pydantic.

Typer converts every value with pydantic, whose import takes longer than all else that the parsing of a command does.
Plain values are converted here; what is not plain (a number out of range, a path that cannot be read) still goes to
Typer, for its result or its error message.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

if TYPE_CHECKING:
    from typer._click import Command, Context
    from typer.models import ParameterInfo

_INTEGER = re.compile(r"[+-]?[0-9]{1,15}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?(e[+-]?[0-9]{1,2})?", re.ASCII | re.IGNORECASE)
_LEFT = object()  # left to Typer


def avoid_pydantic(command: Command, ctx: Context) -> None:
    """Let the parameters of `command` be parsed without pydantic as far as their values are plain.

    The default of Typer's own flags (--help, --install-completion) becomes False instead of None, which it would
    convert; every parameter gets a converter of its own in front of Typer's.
    """
    for parameter in command.get_params(ctx):
        if parameter.default is None and getattr(parameter, "is_flag", False):
            parameter.default = False
        typers = getattr(parameter, "get_runtime_param", None)
        if typers is None or not hasattr(parameter, "type_descriptor") or isinstance(typers, _Converter):
            continue  # another version of Typer, or done before
        described = parameter.type_descriptor
        parameter.get_runtime_param = _Converter(described.annotation, described.parameter_info, typers)  # type: ignore[attr-defined]


class _Converter:
    """Replacement of `get_runtime_param` of one parameter, and of the object that it returns."""

    def __init__(self, annotation: Any, info: ParameterInfo, typers: Any) -> None:
        self._is_list = get_origin(annotation) is list
        self._type = get_args(annotation)[0] if self._is_list else annotation
        self._info = info
        self._typers = typers

    def __call__(self) -> _Converter:
        return self

    def coerce(self, value: Any, param: Any, ctx: Context) -> Any:
        """Return `value` as the type of the parameter. Raises what Typer raises for a wrong one."""
        plain = self._plain(value, several=param.multiple or param.nargs == -1)
        return self._typers().coerce(value, param=param, ctx=ctx) if plain is _LEFT else plain

    def _plain(self, value: Any, several: bool) -> Any:
        if value is None:
            return () if several else None
        if self._info.parser is not None or several != self._is_list:
            return _LEFT
        if not several:
            return self._one(value)
        if not isinstance(value, list | tuple):
            return _LEFT
        items = [self._one(item) for item in value]
        return _LEFT if any(item is _LEFT for item in items) else items

    def _one(self, value: Any) -> Any:
        if self._type is str:
            return value if isinstance(value, str) else _LEFT
        if self._type is int or self._type is float:
            return self._number(value)
        return self._path(value) if self._type is Path else _LEFT

    def _number(self, value: Any) -> Any:
        if isinstance(value, str) and (_INTEGER if self._type is int else _DECIMAL).fullmatch(value):
            value = self._type(value)
        if type(value) is not self._type or self._info.clamp:
            return _LEFT
        low, high = self._info.min, self._info.max
        return value if (low is None or value >= low) and (high is None or value <= high) else _LEFT

    def _path(self, value: Any) -> Any:
        info = self._info
        if info.exists or info.resolve_path or info.allow_dash or info.path_type is not None or info.writable:
            return _LEFT
        if not isinstance(value, str | Path) or "\0" in str(value) or not (info.file_okay and info.dir_okay):
            return _LEFT
        return Path(value) if os.access(value, os.R_OK) or not os.path.lexists(value) else _LEFT
