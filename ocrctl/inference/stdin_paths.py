"""Paths that arrive on stdin, one a line, as bytes: a file name need not be UTF-8."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import BinaryIO

# Seconds without a new byte after which what has arrived is read: a program that writes one path and waits for its
# answer gets it, one that lists a disk still fills its batches.
PATIENCE = 0.02


def stdin_paths(stream: BinaryIO | None) -> Iterator[str | None]:
    """The lines of `stream` that are not empty, decoded as file names are (`os.fsdecode`).

    None stands for a pause of the writer: nothing has come for PATIENCE seconds. A closed stdin is None itself and
    holds no line.
    """
    rest = b""
    for block in _blocks(stream) if stream is not None else ():
        if block is None:
            yield None
            continue
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if path := line.rstrip(b"\r"):
                yield os.fsdecode(path)
    if path := rest.rstrip(b"\r"):
        yield os.fsdecode(path)


def _blocks(stream: BinaryIO) -> Iterator[bytes | None]:
    """What can be read without waiting, None whenever that is nothing. The stream's own buffer must be unused."""
    try:
        handle = stream.fileno()
    except OSError:  # a stream in memory
        yield stream.read()
        return
    while True:
        if not select.select([handle], [], [], PATIENCE)[0]:
            yield None
        block = os.read(handle, 1 << 16)
        if not block:
            return
        yield block
