"""Load formats that are not built in: from `--plugin FILE.py`, or the entry-point group `ocrctl.formats`.

A plug-in is a module with the members of a built-in format (`protocols.py`). It is loaded when a name is requested that
is not built in, or when no built-in format fits, never because a data set names it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from functools import wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ocrctl.config.plugins import describe_error, installed, load_file, load_point, plugin_files, point_name
from ocrctl.data.formats._detection import Keeps
from ocrctl.data.formats._text import WordKeeps
from ocrctl.errors import OcrctlError, PluginError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "ocrctl.formats"
# Members of a plug-in and their types; None: a function.
BOTH: dict[str, type | None] = {"NAME": str, "LABEL_FILES": tuple, "sniff": None, "read": None}
WORDS: dict[str, type | None] = {"write": None}
PAGES: dict[str, type | None] = {"PER_IMAGE": bool, "KEEPS": Keeps, "render": None}
MAY = ("IMAGES_FROM",)  # folder in the data set that image names in the label files are relative to

FAMILY = "FAMILY"  # what a file that brings a model has (models.plugins); it need not bring a format

_loaded: dict[str, Any] = {}  # by resolved path or entry point


def plugin_names() -> list[str]:
    """Return the names in the files, then the names of the entry points."""
    return [plugin.NAME for plugin in _of_files()] + [point.name for point in _points()]


def plugin(name: str, taken: Collection[str]) -> Any:
    """Return the plug-in called `name`, files first, or None. Raises UsageError when one cannot be loaded, lacks a
    member, or has a name of `taken`, the built-in ones."""
    found = [loaded for loaded in _of_files(taken) if name == loaded.NAME]
    if len(found) > 1:
        raise UsageError(f"--plugin: {len(found)} files define the format {name!r}, expected one.")
    return found[0] if found else next((_of_point(point) for point in _points() if point.name == name), None)


def plugins(taken: Collection[str]) -> list[Any]:
    """Return every plug-in: those of the files, then the installed ones with other names."""
    found = _of_files(taken)
    names = {*taken, *(loaded.NAME for loaded in found)}
    return found + [_of_point(point) for point in _points() if point.name not in names]


def is_pages(loaded: Any) -> bool:
    """Return whether a plug-in holds pages with polygons, not word images."""
    return hasattr(loaded, "render")


def _of_files(taken: Collection[str] = ()) -> list[Any]:
    found = []
    for file in plugin_files():
        key, module = str(file.resolve()), load_file(file)
        if hasattr(module, FAMILY) and not any(hasattr(module, name) for name in BOTH):
            continue
        if key not in _loaded:
            _loaded[key] = validated(module, f"plug-in {file}")
        if _loaded[key].NAME in taken:
            raise PluginError(f"plug-in {file}: {_loaded[key].NAME!r} is a built-in format.", hint="Change its NAME.")
        found.append(_loaded[key])
    return found


def _points() -> list[EntryPoint]:
    return installed(GROUP)


def _of_point(point: EntryPoint) -> Any:
    key = f"{point.name} = {point.value}"
    where = point_name(point)
    if key not in _loaded:
        loaded = validated(load_point(point), where)
        if point.name != loaded.NAME:
            raise PluginError(
                f"{where}: expected NAME {point.name!r}, the name of its entry point, found {loaded.NAME!r}."
            )
        _loaded[key] = loaded
    return _loaded[key]


def validated(module: Any, where: str) -> Any:
    """Return `module` with its functions guarded. Raises UsageError naming all missing members and wrong types."""
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
        raise PluginError(
            f"{where}: {', '.join(faults)}.",
            hint="Word images: NAME, LABEL_FILES, sniff, read, write; pages: PER_IMAGE, KEEPS, render for write; "
            "a model: FAMILY.",
        )
    offered: dict[str, Any] = {} if pages else {"KEEPS": WordKeeps()}
    offered |= {name: getattr(module, name) for name in (*BOTH, *PAGES, *WORDS, *MAY) if hasattr(module, name)}
    return SimpleNamespace(
        **{name: _guarded(value, where) if name.islower() else value for name, value in offered.items()}
    )


def _guarded(function: Callable[..., Any], where: str) -> Callable[..., Any]:
    """Wrap a plug-in's function: unexpected errors become a UsageError that names the plug-in."""

    def fault(error: Exception) -> PluginError:
        return PluginError(
            f"{where}: {function.__name__} failed ({describe_error(error, inspect.getsourcefile(function) or '')})."
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
