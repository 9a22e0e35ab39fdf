"""Formats that are not built in: named by `--plugin FILE.py`, or installed in the entry-point group `ocrctl.formats`.

A plug-in is a module with what a built-in format offers (`protocols.py`). It is loaded when a name is asked for that is
not built in, or when no built-in format fits, never because a data set asks for it.
"""

from __future__ import annotations

import inspect
import sys
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType, SimpleNamespace
from typing import Any

from ocrctl.data.formats._detection import Keeps
from ocrctl.data.formats._text import WordKeeps
from ocrctl.errors import OcrctlError, UsageError

GROUP = "ocrctl.formats"
# What a plug-in offers, and of which type; None: a function.
BOTH: dict[str, type | None] = {"NAME": str, "LABEL_FILES": tuple, "sniff": None, "read": None}
WORDS: dict[str, type | None] = {"write": None}
PAGES: dict[str, type | None] = {"PER_IMAGE": bool, "KEEPS": Keeps, "render": None}
MAY = ("IMAGES_FROM",)  # folder that picture names in the label files start from, within the data set's

_files: list[Path] = []  # of --plugin
_loaded: dict[str, Any] = {}  # by resolved path or entry point


@contextmanager
def use_plugins(files: Sequence[Path]) -> Iterator[None]:
    """Within the block the formats of these files are at hand. Raises UsageError when one is not there."""
    for file in files:
        if not file.is_file():
            raise UsageError(f"--plugin {file}: no such file.")
    before = _files[:]
    _files[:] = files
    try:
        yield
    finally:
        _files[:] = before


def plugin_names() -> list[str]:
    """What can be asked for: names within the files, names of the entry points."""
    return [plugin.NAME for plugin in _of_files()] + [point.name for point in _points()]


def plugin(name: str, taken: Collection[str]) -> Any:
    """The plug-in called `name`, files first, or None. Raises UsageError when one cannot be loaded, lacks something, or
    bears a name of `taken`, the built-in ones."""
    found = [loaded for loaded in _of_files(taken) if name == loaded.NAME]
    if len(found) > 1:
        raise UsageError(f"--plugin: {len(found)} files define the format {name!r}, expected one.")
    return found[0] if found else next((_of_point(point) for point in _points() if point.name == name), None)


def plugins(taken: Collection[str]) -> list[Any]:
    """Every plug-in: those of the files, then the installed ones whose names are free."""
    found = _of_files(taken)
    names = {*taken, *(loaded.NAME for loaded in found)}
    return found + [_of_point(point) for point in _points() if point.name not in names]


def is_pages(loaded: Any) -> bool:
    """Whether a plug-in holds pictures with polygons, not word images."""
    return hasattr(loaded, "render")


def _of_files(taken: Collection[str] = ()) -> list[Any]:
    found = []
    for file in _files:
        key = str(file.resolve())
        if key not in _loaded:
            _loaded[key] = validated(_import(file), f"plug-in {file}")
        if _loaded[key].NAME in taken:
            raise UsageError(f"plug-in {file}: {_loaded[key].NAME!r} is a built-in format.", hint="Change its NAME.")
        found.append(_loaded[key])
    return found


def _points() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def _of_point(point: EntryPoint) -> Any:
    key = f"{point.name} = {point.value}"
    where = f"plug-in {point.value} (entry point {point.name!r})"
    if key not in _loaded:
        try:
            module = point.load()
        except Exception as error:
            raise UsageError(f"{where}: cannot be loaded ({type(error).__name__}: {error}).") from error
        loaded = validated(module, where)
        if point.name != loaded.NAME:
            raise UsageError(
                f"{where}: expected NAME {point.name!r}, as its entry point is called, found {loaded.NAME!r}."
            )
        _loaded[key] = loaded
    return _loaded[key]


def _import(file: Path) -> ModuleType:
    name = f"ocrctl_plugin_{zlib.crc32(str(file.resolve()).encode()):08x}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"plug-in {file}: is no Python file (.py).")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"plug-in {file}: cannot be loaded ({_describe_error(error, str(file))}).") from error
    return module


def validated(module: Any, where: str) -> Any:
    """`module` with its functions guarded. Raises UsageError naming everything that lacks or is of the wrong kind."""
    pages = hasattr(module, "PER_IMAGE") or hasattr(module, "render")
    faults = []
    for name, kind in (BOTH | (PAGES if pages else WORDS)).items():
        value = getattr(module, name, None)
        if value is None:
            faults.append(f"lacks {name}")
        elif not (callable(value) if kind is None else isinstance(value, kind)):
            expected = "a function" if kind is None else kind.__name__
            faults.append(f"has {name} of type {type(value).__name__}, expected {expected}")
    if faults:
        raise UsageError(
            f"{where}: {', '.join(faults)}.",
            hint="Word images: NAME, LABEL_FILES, sniff, read, write; pages: PER_IMAGE, KEEPS, render for write.",
        )
    offered: dict[str, Any] = {} if pages else {"KEEPS": WordKeeps()}
    offered |= {name: getattr(module, name) for name in (*BOTH, *PAGES, *WORDS, *MAY) if hasattr(module, name)}
    return SimpleNamespace(
        **{name: _guarded(value, where) if name.islower() else value for name, value in offered.items()}
    )


def _guarded(function: Callable[..., Any], where: str) -> Callable[..., Any]:
    """What a plug-in raises by mistake is its fault and says so; expected errors pass."""

    def fault(error: Exception) -> UsageError:
        return UsageError(
            f"{where}: {function.__name__} failed ({_describe_error(error, inspect.getsourcefile(function) or '')})."
        )

    def steps(result: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from result
        except (OcrctlError, OSError, MemoryError):
            raise
        except Exception as error:
            raise fault(error) from error

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            result = function(*arguments, **named)
        except (OcrctlError, OSError, MemoryError):
            raise
        except Exception as error:
            raise fault(error) from error
        return steps(result) if inspect.isgenerator(result) else result

    return call


def _describe_error(error: Exception, file: str) -> str:
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file]
    line = line or (lines[-1] if lines else None)
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {what}" + (f", line {line}" if line else "")
