"""Read paths from stdin, one per line, as bytes: a file name need not be UTF-8."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import BinaryIO

# Seconds without a new byte after which what has arrived is read: a program that writes one path and waits for its
# answer gets it, one that lists a disk still fills its batches.
PATIENCE = 0.02


def stdin_paths(stream: BinaryIO | None) -> Iterator[str | None]:
    """Iterate over the non-empty lines of `stream`, decoded as file names (`os.fsdecode`).

    None marks a pause of the writer: no byte for PATIENCE seconds. A closed stdin is None itself and has no line.
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
    """Iterate over blocks that can be read without waiting, None for each pause. The stream's own buffer must be
    unused."""
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
