"""What every command prints: results to stdout, progress and log to stderr, JSON on request, one-sentence errors."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, TextIO

from ocrctl.errors import OcrctlError, ResumableStop

_LEAST = 12  # characters of the last column of a table below which it is not cut but moved
_state = {"quiet": False}


class Unheard:
    """A stream of progress and log: a reader of it that leaves (`2>&1 | head`, a dead `tee`, a closed terminal) ends no
    training."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As the stream does, into nothing once nobody reads it."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._let_go(error)
            return len(text)

    def flush(self) -> None:
        """As the stream does."""
        try:
            self._stream.flush()
        except OSError as error:
            self._let_go(error)

    def _let_go(self, error: OSError) -> None:
        if not _reader_is_gone(error, self._stream):
            raise error
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _reader_is_gone(error: OSError, stream: TextIO) -> bool:
    """Whether `error` says that nobody reads `stream` any more: a closed pipe, or a terminal that hung up."""
    if error.errno == errno.EIO:  # of a file it would be a broken disk
        return stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)
    return error.errno == errno.EPIPE


def set_quiet(value: bool) -> None:
    """Silence `note` and `suggest` for this command line (results and errors still print)."""
    _state["quiet"] = value


def is_quiet() -> bool:
    """Whether -q was given."""
    return _state["quiet"]


def write(text: str = "") -> None:
    """A line of the result, to stdout; what its encoding cannot hold (file names of any bytes) as \\udcXX."""
    _put(text + "\n")


def _put(text: str) -> None:
    if not text.isascii():
        for encoding in ("utf-8", sys.stdout.encoding or "utf-8"):  # lone surrogates, then a terminal that is not UTF-8
            text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        sys.stdout.write(text)
    except OSError as error:
        if _reader_is_gone(error, sys.stdout):
            raise BrokenPipeError(errno.EPIPE, "nobody reads the output any more") from error
        raise _unwritable(error) from error


def flush() -> None:
    """Hand what was written over to the system. Raises as writing does."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if _reader_is_gone(error, sys.stdout):
            raise BrokenPipeError(errno.EPIPE, "nobody reads the output any more") from error
        raise _unwritable(error) from error


@contextmanager
def to_the_end() -> Iterator[None]:
    """Within, a reader that leaves (`| head`) ends the printing alone: reports, gates and exit codes still come."""
    try:
        yield
    except BrokenPipeError:
        nobody_listens()


def nobody_listens() -> None:
    """Let go what standard output would still be given, also by the interpreter's own flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unwritable(error: OSError) -> OcrctlError:
    """The error of a standard output that takes nothing more; what waits to be written is let go."""
    nobody_listens()
    return ResumableStop(
        f"Standard output cannot be written ({error.strerror or error}); the results are not whole.",
        hint="free some space, or send them elsewhere",
    )


def note(text: str = "") -> None:
    """A line of progress or log, to stderr; silent under -q."""
    if not _state["quiet"]:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def suggest(command: str) -> None:
    """The last line on stderr where a natural next command exists, ready to copy."""
    note(f"next: {command}")


def write_json(value: Any) -> None:
    """One JSON object (or one line of a JSON stream) to stdout; dataclasses become objects, NaN and infinity null."""
    _put(json.dumps(to_plain(value), ensure_ascii=False) + "\n")


def to_plain(value: Any) -> Any:
    """Dataclasses, paths, tuples and numpy values as what JSON knows; NaN and infinity as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        return to_plain(value.tolist())
    return str(value)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows to stdout: aligned columns, tab-separated when piped.

    What a terminal has no room for: the last column is cut where that is enough; else the columns are shown in several
    tables, one below another, each with the first column.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            write("\t".join(row))
        return
    lines = [list(headers), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    for number, band in enumerate(_bands(widths, columns())):
        if number:
            write()
        _aligned([[line[i] for i in band] for line in lines], [widths[i] for i in band])


def _bands(widths: list[int], room: int) -> list[list[int]]:
    """Which columns stand in each of the tables."""
    everything = list(range(len(widths)))
    if sum(widths[:-1]) + 2 * len(widths[:-1]) + min(widths[-1], _LEAST) <= room:
        return [everything]
    bands, taken = [[0]], widths[0]
    for column in everything[1:]:
        taken += 2 + widths[column]
        if taken > room and len(bands[-1]) > 1:
            bands.append([0])
            taken = widths[0] + 2 + widths[column]
        bands[-1].append(column)
    return bands


def _aligned(lines: list[list[str]], widths: list[int]) -> None:
    room = columns()
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        text = text if len(text) <= room else text[: room - 1] + "…"
        write(f"\x1b[1m{text}\x1b[0m" if number == 0 and colour() else text)


def colour() -> bool:
    """Whether stdout may carry colour: a terminal, and NO_COLOR not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def live() -> bool:
    """Whether stderr may carry a live bar: a terminal that is not dumb, not quiet, NO_COLOR not set."""
    return (
        sys.stderr.isatty()
        and not _state["quiet"]
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") != "dumb"
    )


def columns() -> int:
    """Width of the terminal in characters, at least 20."""
    import shutil

    return max(20, shutil.get_terminal_size().columns)


def report_error(error: OcrctlError) -> int:
    """Print one sentence and, where there is one, the hint; return the exit code."""
    sys.stderr.write(f"error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"hint: {error.hint}\n")
    return error.exit_code


def report_bug(error: BaseException, *, traced: bool = False) -> int:
    """Print an unexpected error with how to report it, the traceback above it (`traced`) or still to be had with
    OCRCTL_DEBUG=1. Returns 70."""
    sys.stderr.write(f"bug in ocrctl: {type(error).__name__}: {error}\n")
    how = "report the traceback above" if traced else "run again with OCRCTL_DEBUG=1 and report the traceback"
    sys.stderr.write(f"hint: {how} with the command you typed\n")
    return 70
