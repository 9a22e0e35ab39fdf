"""Read label files as text, with limits far above the size of real label files."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from ocrctl.errors import InputError
from ocrctl.files.regular import LARGEST_TEXT, open_regular, open_stream, read_all

LONGEST_LINE = 64 << 20  # bytes; a page of 10,000 long polygons with texts takes a few MiB
LARGEST_JSON = 1 << 30  # bytes; TextOCR's training set takes 0.3 GiB, and parsing needs about ten times as much memory
_SHORT = 1 << 16  # bytes; larger than the label file of one image
_CHUNK = 1 << 20


def read_label_text(path: str | Path, *, largest: int | None = None) -> str:
    """Read a UTF-8 label file, without its BOM.

    Raises InputError naming file:line when it cannot be read, is not UTF-8, has a line of more than LONGEST_LINE bytes,
    or is larger than `largest` bytes (then lines of any length are allowed).
    """
    try:
        data = _read(path, largest)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        return data.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}:{line}: expected UTF-8 text, found byte 0x{error.object[error.start]:02x}.", hint=_encoding(data)
        ) from error


def read_start(path: str, size: int) -> bytes:
    """Read the first `size` bytes of a file; b"" when it cannot be read, as reading the whole file will report."""
    return read_starts((path,), size)[0]


def read_starts(paths: Iterable[str], size: int) -> list[bytes]:
    """Read the starts of many files, as `read_start` does."""
    starts = []
    for path in paths:
        try:
            handle = open_regular(path)  # four system calls
            try:
                starts.append(os.read(handle, size))
            finally:
                os.close(handle)
        except (OSError, ValueError):  # ValueError: a NUL in the name
            starts.append(b"")
    return starts


def _read(path: str | Path, largest: int | None) -> bytes:
    """Read a whole file or pipe; a file shorter than _SHORT takes five system calls."""
    handle = open_stream(path)
    try:
        if not S_ISREG(os.fstat(handle).st_mode):  # a pipe can be read only once
            return read_all(handle, path, largest or LARGEST_TEXT)
        short, data = min(_SHORT, largest or LONGEST_LINE), b""
        while len(data) < short:
            more = os.read(handle, short - len(data))
            if not more:
                return data
            data += more
        with open(handle, "rb", closefd=False) as stream:
            stream.seek(0)
            return _read_long(stream, path, os.fstat(handle).st_size, largest)
    finally:
        os.close(handle)


def _read_long(stream: BinaryIO, path: str | Path, size: int, largest: int | None) -> bytes:
    if largest is not None and size > largest:
        raise InputError(
            f"{path}: holds {size / 2**20:,.0f} MiB, expected at most {largest >> 20:,} MiB of JSON.",
            hint="Split it into several files, or convert it to a format with one line or one file per image.",
        )
    if largest is None and size > LONGEST_LINE:
        _expect_lines(stream, path)
    return stream.read()


def _expect_lines(stream: BinaryIO, path: str | Path) -> None:
    """Check the line lengths of a large file before all of it is in memory, then rewind it."""
    line, length = 1, 0
    while chunk := stream.read(_CHUNK):
        first = chunk.find(b"\n")
        length += len(chunk) if first < 0 else first
        if length > LONGEST_LINE:
            raise InputError(f"{path}:{line}: expected a line of at most {LONGEST_LINE >> 20} MiB, found a longer one.")
        if first >= 0:
            line += chunk.count(b"\n")
            length = len(chunk) - chunk.rfind(b"\n") - 1
    stream.seek(0)


def _encoding(data: bytes) -> str | None:
    """Suggest the iconv command for a file in another common encoding of label files, if it can be detected."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "It starts like UTF-16: iconv -f UTF-16 -t UTF-8 FILE > NEW"
    for name in ("cp949", "gb18030", "shift_jis"):
        try:
            data.decode(name)
        except UnicodeDecodeError:
            continue
        return f"It may be in a local encoding, such as {name}: iconv -f {name.upper()} -t UTF-8 FILE > NEW"
    return None
