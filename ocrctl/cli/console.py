"""Print results to stdout, and progress, log and one-sentence errors to stderr.

Text that comes from data (paths, labels, predictions) is printed here only: lines, tables and errors show its control
characters as escapes (ocrctl/escape.py).
"""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import stat
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, TextIO

from ocrctl import escape
from ocrctl.errors import OcrctlError, RenamedWarning, ResumableStop

_MIN_LAST = 24  # columns of the terminal that the last column of a table has at least: a number with its interval
_state = {"quiet": False, "guard": False}
_live: dict[str, Callable[[], None]] = {}  # "erase": removes the live line that stands on the terminal


class PipeSafeStream:
    """A stream for progress and log that discards text once its reader is gone (`2>&1 | head`, a killed `tee`, a closed
    terminal), so that a training continues."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text`; discard it once the stream is closed."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._discard(error)
            return len(text)

    def flush(self) -> None:
        """Flush the stream; do nothing once it is closed."""
        try:
            self._stream.flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        if not _is_closed(error, self._stream):
            raise error
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_closed(error: OSError, stream: TextIO) -> bool:
    """Whether `error` means that `stream` has no reader any more: a closed pipe or terminal."""
    if error.errno == errno.EIO:  # on a file it means a failing disk
        return stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)
    return error.errno == errno.EPIPE


def set_quiet(value: bool) -> None:
    """Silence `note` and `suggest` for this command line (results and errors still print)."""
    _state["quiet"] = value


def set_guard(value: bool) -> None:
    """Escape formulas in the cells of piped tables (`escape.spreadsheet_safe`), for this command line."""
    _state["guard"] = value


def write(text: str = "", style: str = "", styled: str = "") -> None:
    """Print one line of the result to stdout; a line break or another control in it is shown as an escape.

    `styled` precedes `text`, where stdout takes colour in `style`, ANSI codes such as "1;31"."""
    styled = escape.visible(styled)
    if style and styled and colour():
        styled = f"\x1b[{style}m{styled}\x1b[0m"
    _put(f"{styled}{escape.visible(text)}\n")


def write_lines(text: str) -> None:
    """Print lines of a file format, unchanged in a pipe; on a terminal with control characters as escapes."""
    _put((escape.visible(text, keep="\t\n") if sys.stdout.isatty() else text) + "\n")


def _put(text: str) -> None:
    if not text.isascii():
        for encoding in ("utf-8", sys.stdout.encoding or "utf-8"):  # lone surrogates, then a terminal without UTF-8
            text = text.encode(encoding, "backslashreplace").decode(encoding)
    if sys.stdout.isatty():
        _erase_live()
    try:
        sys.stdout.write(text)
    except OSError as error:
        if _is_closed(error, sys.stdout):
            raise BrokenPipeError(errno.EPIPE, "the reader has closed the output") from error
        raise _unwritable(error) from error


def flush() -> None:
    """Flush stdout. Raises as writing does."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if _is_closed(error, sys.stdout):
            raise BrokenPipeError(errno.EPIPE, "the reader has closed the output") from error
        raise _unwritable(error) from error


@contextmanager
def ignoring_closed_pipe() -> Iterator[None]:
    """End only the printing in the block when a pipe is closed (`| head`); reports, thresholds and exit codes still
    follow."""
    try:
        yield
    except BrokenPipeError:
        discard_stdout()


def discard_stdout() -> None:
    """Discard what is still written to stdout, also by the interpreter's flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unwritable(error: OSError) -> OcrctlError:
    """Return the error for a standard output that cannot be written; the rest of the output is discarded."""
    discard_stdout()
    return ResumableStop(
        f"Standard output cannot be written ({error.strerror or error}); the results are incomplete.",
        hint="free some space, or redirect the output to another file",
    )


def note(text: str = "") -> None:
    """Print a line of progress or log to stderr; nothing with -q."""
    if not _state["quiet"]:
        warn(text)


def stage(text: str) -> None:
    """Print what a long command does now, where no progress bar shows it: stderr is not a terminal, or not a live
    one."""
    if not live():
        note(text)


def warn(text: str) -> None:
    """Print one line to stderr, also with -q. A line break in `text` continues it indented, so that data cannot start a
    line of its own; other control characters are escapes."""
    _erase_live()
    sys.stderr.write(escape.visible(text, keep="\n").replace("\n", "\n  ") + "\n")
    sys.stderr.flush()


def show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    """Print a Python warning to stderr; a RenamedWarning as one line, without the code that emitted it."""
    if issubclass(category, RenamedWarning):
        warn(f"warning: {message}")
    else:
        (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))


def write_help(text: str) -> None:
    """Print a help page to stderr, without colour unless stderr takes it."""
    if not _styled(sys.stderr):
        text = text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    sys.stderr.write(text + "\n")


def suggest(command: str) -> None:
    """Print the natural next command, ready to copy, as the last line on stderr."""
    note(f"next: {command}")


def write_json(value: Any) -> None:
    """Print one JSON object, or one line of a JSON stream, to stdout; NaN and infinity become null."""
    _put(escape.json_text(to_plain(value)) + "\n")


def to_plain(value: Any) -> Any:
    """Convert dataclasses, paths, tuples and numpy values to the types of JSON; NaN and infinity to None.

    A field of a dataclass with the metadata `formerly` is printed under both names, for one release.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {}
        for field in dataclasses.fields(value):
            plain[field.name] = to_plain(getattr(value, field.name))
            if former := field.metadata.get("formerly"):
                plain[former] = plain[field.name]
        return plain
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


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], keys: int = 1) -> None:
    """Print a table to stdout: aligned columns on a terminal, nothing without a row; in a pipe tab-separated values
    with a header row, cells escaped by `escape.cell`.

    Nothing is cut, so that a path can be copied. On a narrow terminal the last column is wrapped between words if that
    is enough; otherwise the columns are printed as several tables, each with the first `keys` columns, which identify a
    row; where the keys leave no room for that, each row is printed as lines of header and value.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        guard = escape.spreadsheet_safe if _state["guard"] else str
        for row in [list(headers), *cells]:
            _put("\t".join(escape.cell(guard(cell)) for cell in row) + "\n")
        return
    if not rows:
        return
    lines = [[escape.visible(cell) for cell in line] for line in (headers, *cells)]
    room = columns()
    widths = [max(_width(line[i]) for line in lines) for i in range(len(headers))]
    if not _fits(widths, room) and not _keys_fit(widths, keys, room):
        _records(lines, room)
        return
    for number, band in enumerate(_bands(widths, keys, room)):
        if number:
            write()
        _aligned([[line[i] for i in band] for line in lines], [widths[i] for i in band], room)


def _fits(widths: list[int], room: int) -> bool:
    """Whether one table holds all columns, the last one wrapped if needed."""
    return sum(widths[:-1]) + 2 * len(widths[:-1]) + min(widths[-1], _MIN_LAST) <= room


def _keys_fit(widths: list[int], keys: int, room: int) -> bool:
    """Whether the key columns leave room for the widest other column."""
    others = [*widths[keys:-1], min(widths[-1], _MIN_LAST)]
    return keys < len(widths) and sum(widths[:keys]) + 2 * keys + max(others) <= room


def _width(text: str) -> int:
    """Terminal columns of `text`: two for a wide character (Han, Hangul), none for a combining one."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)


def _bands(widths: list[int], keys: int, room: int) -> list[list[int]]:
    """Return the column numbers of each table."""
    if _fits(widths, room):
        return [list(range(len(widths)))]
    first = list(range(keys))
    start = sum(widths[:keys]) + 2 * (keys - 1)
    bands: list[list[int]] = []
    taken = room
    for column in range(keys, len(widths)):
        needed = min(widths[column], _MIN_LAST) if column == len(widths) - 1 else widths[column]
        taken += 2 + needed
        if taken > room:
            bands.append(list(first))
            taken = start + 2 + needed
        bands[-1].append(column)
    return bands


def _aligned(lines: list[list[str]], widths: list[int], room: int) -> None:
    """Print the lines under each other, the last column wrapped."""
    indent = sum(widths[:-1]) + 2 * len(widths[:-1])
    for number, (*front, last) in enumerate(lines):
        padded = [cell + " " * (width - _width(cell) + 2) for cell, width in zip(front, widths, strict=False)]
        first, *more = _wrapped(last, room - indent)
        text = ("".join(padded) + first).rstrip()
        write(text) if number else write(styled=text, style="1")
        for piece in more:
            write(" " * indent + piece)


def _records(lines: list[list[str]], room: int) -> None:
    """Print each row as lines of header and value, without empty values, and an empty line between two rows."""
    headers, *rows = lines
    indent = max(map(_width, headers)) + 2
    for number, row in enumerate(rows):
        if number:
            write()
        for header, cell in zip(headers, row, strict=True):
            if not cell:
                continue
            first, *more = _wrapped(cell, room - indent)
            write(first, style="1", styled=header + " " * (indent - _width(header)))
            for piece in more:
                write(" " * indent + piece)


def _wrapped(text: str, room: int) -> list[str]:
    """Break `text` between words into lines of at most `room` columns; a longer word, such as a path, stays whole."""
    pieces = [""]
    for word in text.split(" "):
        longer = f"{pieces[-1]} {word}" if pieces[-1] else word
        if pieces[-1] and _width(longer) > room:
            pieces.append(word)
        else:
            pieces[-1] = longer
    return pieces


def set_live(erase: Callable[[], None] | None) -> None:
    """Set the function that erases the live line before other text is printed; None: there is no live line."""
    _live.clear()
    if erase is not None:
        _live["erase"] = erase


def _erase_live() -> None:
    if erase := _live.get("erase"):
        erase()


def colour() -> bool:
    """Return whether stdout takes colour: a terminal that is not dumb, NO_COLOR not set."""
    return _styled(sys.stdout)


def live() -> bool:
    """Return whether stderr takes a live line: a terminal that is not dumb, NO_COLOR not set, no -q."""
    return _styled(sys.stderr) and not _state["quiet"]


def _styled(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") != "dumb"


def columns() -> int:
    """Return the width of the terminal in characters, 20 or more."""
    import shutil

    return max(20, shutil.get_terminal_size().columns)


def report_error(error: OcrctlError) -> int:
    """Print one sentence and, where there is one, the hint; return the exit code."""
    warn(f"error: {error.message}")
    if error.hint:
        warn(f"hint: {error.hint}")
    return error.exit_code


def report_bug(error: BaseException, *, traced: bool = False) -> int:
    """Print an unexpected error and how to report it; `traced`: its traceback is printed already. Returns 70."""
    warn(f"bug in ocrctl: {type(error).__name__}: {error}")
    how = "report the traceback above" if traced else "run again with OCRCTL_DEBUG=1 and report the traceback"
    warn(f"hint: {how} with the command you typed")
    return 70


def report_traceback(error: BaseException) -> None:
    """Print the traceback of `error` to stderr."""
    import traceback

    for text in traceback.format_exception(error):
        sys.stderr.write(escape.visible(text, keep="\n\t"))
