"""Reading a label file as text, within limits that no label file of a data set comes near."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from ocrctl.errors import InputError

LONGEST_LINE = 64 << 20  # bytes; a page of 10,000 long polygons with texts takes a few MiB
LARGEST_JSON = 1 << 30  # bytes; TextOCR's training set takes 0.3 GiB, and parsing needs about ten times as much memory
_CHUNK = 1 << 20


def read_label_text(path: Path, *, largest: int | None = None) -> str:
    """The text of a UTF-8 label file without its BOM.

    Raises InputError naming file:line when it cannot be read, is not UTF-8, has a line of more than LONGEST_LINE bytes,
    or, with `largest`, when it holds more bytes than that, however long its lines are.
    """
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if largest is not None and size > largest:
                raise InputError(
                    f"{path}: holds {size / 2**20:,.0f} MiB, expected at most {largest >> 20:,} MiB of JSON.",
                    hint="Part it into several files, or convert it to a format of one line or one file a picture.",
                )
            if largest is None and size > LONGEST_LINE:
                _expect_lines(stream, path)
            data = stream.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}:{line}: expected UTF-8 text, found byte 0x{data[error.start]:02x}.", hint=_encoding(data)
        ) from error


def _expect_lines(stream: BinaryIO, path: Path) -> None:
    """Look for line ends before all of a large file is in memory, and go back to its start."""
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
    """How to mend a file in one of the encodings that label files come in besides UTF-8, as far as it can be told."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "It starts as UTF-16 does: iconv -f UTF-16 -t UTF-8 FILE > NEW"
    for name in ("cp949", "gb18030", "shift_jis"):
        try:
            data.decode(name)
        except UnicodeDecodeError:
            continue
        return f"It may be in a local encoding, such as {name}: iconv -f {name.upper()} -t UTF-8 FILE > NEW"
    return None
