"""Plug-ins: Python files named by `--plugin FILE.py`, and installed packages by their entry points.

A file is loaded when a format or a model family is looked up, never because data, a run or a checkpoint names it.
`data.formats` and `models.plugins` take from the module what is theirs.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ocrctl.errors import PluginError, UsageError
from ocrctl.shell import shell_quote

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_files: list[Path] = []  # of --plugin
_modules: dict[str, ModuleType] = {}  # by resolved path


@contextmanager
def use_plugins(files: Sequence[Path]) -> Iterator[None]:
    """Make the plug-ins in `files` available in the block. Raises UsageError when a file does not exist."""
    for file in files:
        if not file.is_file():
            raise UsageError(f"--plugin {file}: no such file.")
    before = _files[:]
    _files[:] = {file.resolve(): file for file in files}.values()
    try:
        yield
    finally:
        _files[:] = before


def plugin_files() -> list[Path]:
    """Return the files of `--plugin`, each once."""
    return _files[:]


def installed(group: str) -> list[EntryPoint]:
    """Return the entry points of `group`, by name; nothing is loaded."""
    if not _may_be_installed(f"[{group}]".encode()):
        return []
    from importlib.metadata import entry_points  # its import and search take as long as those of cv2

    return sorted(entry_points(group=group), key=lambda point: point.name)


def _may_be_installed(section: bytes) -> bool:
    """Whether an `entry_points.txt` of an installed package has `section`; True where only Python can find that out."""
    for folder in dict.fromkeys(sys.path):
        try:
            with os.scandir(folder or ".") as entries:
                names = [entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info", ".egg"))]
        except NotADirectoryError:  # a zip file, which can hold packages
            return True
        except OSError:
            continue
        for name in names:
            try:
                with open(os.path.join(folder, name, "entry_points.txt"), "rb") as file:
                    if section in file.read().replace(b" ", b""):
                        return True
            except OSError:
                if name.endswith(".egg"):
                    return True
    return False


def load_file(file: Path) -> ModuleType:
    """Load the module in `file`, once per process. Raises PluginError when it cannot be loaded."""
    key = str(file.resolve())
    if key in _modules:
        return _modules[key]
    where = f"plug-in {file}"
    name = f"ocrctl_plugin_{zlib.crc32(key.encode()):08x}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{where}: is no Python file (.py).")
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"{where}: cannot be loaded ({describe_error(error, str(file))}).") from error
    _modules[key] = module
    return module


def load_point(point: EntryPoint) -> Any:
    """Load the object that `point` names. Raises PluginError when it cannot be loaded."""
    try:
        return point.load()
    except Exception as error:
        raise PluginError(f"{point_name(point)}: cannot be loaded ({type(error).__name__}: {error}).") from error


def point_name(point: EntryPoint) -> str:
    """Describe the entry point for messages."""
    return f"plug-in {point.value} (entry point {point.name!r})"


def describe_error(error: BaseException, file: str) -> str:
    """Describe `error`, with the last line of `file` that it passed through."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file]
    line = line or (lines[-1] if lines else None)
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    first = (what.strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" + (f", line {line}" if line else "")


def missing_plugin(where: str, plugin: str) -> UsageError:
    """Return the error for an architecture (`where`: of which file) whose plug-in is not loaded."""
    if plugin.endswith(".py"):
        hint = f"add --plugin {shell_quote(plugin)}, with the path to that file"
    else:
        hint = f"install the package {plugin}, or name its file with --plugin FILE.py"
    return UsageError(f"{where} is of the plug-in {plugin[:80]}, which is not loaded.", hint=hint)
