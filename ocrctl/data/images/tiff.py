"""Find the pages of a TIFF without decoding, and make each page a file of its own.

TIFF 6.0, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf; BigTIFF as libtiff 4 reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from ocrctl.config.limits import IMAGE_PAGES

_WIDTH, _HEIGHT, _BITS, _SAMPLES, _KIND = 256, 257, 258, 277, 254
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_NO_PAGE = 1 | 4  # bits of _KIND: a reduced-size copy of another page, and a transparency mask
_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CUT = "the list of its pages is cut off or damaged"
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # field types of whole numbers


class Directory(NamedTuple):
    """Tags of one image directory. `kind`: the bits of NewSubfileType; `tile` is (0, 0) without tiles."""

    offset: int
    width: int
    height: int
    samples: int
    bits: int
    tile: tuple[int, int]
    kind: int


def is_tiff(data: bytes) -> bool:
    """Return whether `data` starts like a TIFF or a BigTIFF."""
    return data.startswith(_MARKS)


class Pages(NamedTuple):
    """Offsets of the directories that are pages, and why there may be more pages, or ""."""

    offsets: list[int]
    problem: str


def directories(data: bytes, most: int = IMAGE_PAGES) -> list[Directory]:
    """Return the first `most` directories in the order of their chain, up to a damaged one."""
    return _chain(data, most)[0]


def _chain(data: bytes, most: int) -> tuple[list[Directory], str]:
    """Return the directories as `directories` does, and why the chain ends early, or ""."""
    order = "<" if data[:1] == b"I" else ">"
    big = 0x2B in data[2:4]
    found: list[Directory] = []
    visited: set[int] = set()
    try:
        (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        while offset:
            if offset in visited:
                return found, "its list of pages runs into itself"
            if len(found) == most:
                return found, f"it holds more than {most:,} pages, the limit"
            visited.add(offset)
            (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, offset)
            start, size = offset + (8 if big else 2), 20 if big else 12
            if start + count * size > len(data):
                return found, _CUT
            found.append(_directory(data, offset, range(start, start + count * size, size), order, big))
            (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, start + count * size)
    except (struct.error, OverflowError):  # cut off, or an offset beyond the file
        return found, _CUT
    return found, ""


def pages(data: bytes) -> Pages:
    """Find the pages of a TIFF, without reduced-size copies and masks; none for other data."""
    if not is_tiff(data):
        return Pages([], "")
    found, problem = _chain(data, IMAGE_PAGES)
    return Pages([one.offset for one in found[:1] + [one for one in found[1:] if not one.kind & _NO_PAGE]], problem)


def has_several_pages(data: bytes) -> bool:
    """Return whether `data` is a TIFF of more than one page, of which all but `predict` use the first."""
    return is_tiff(data) and len(pages(data).offsets) > 1


def several_pages_note(locations: Sequence[str]) -> str:
    """Describe the images at `locations` whose file has several pages (I017); "" for none."""
    if not locations:
        return ""
    tiffs = "1 TIFF holds" if len(locations) == 1 else f"{len(locations):,} TIFFs hold"
    return f"{tiffs} several pages, only the first page is used (I017; first: {locations[0]})"


def page_file(data: bytes, offset: int) -> bytes:
    """Return a TIFF whose first directory is the one at `offset` of `data`, so that decoders read that page."""
    order = "<" if data[:1] == b"I" else ">"
    if 0x2B in data[2:4]:
        return data[:8] + struct.pack(order + "Q", offset) + data[16:]
    return data[:4] + struct.pack(order + "I", offset) + data[8:]


def _directory(data: bytes, offset: int, entries: range, order: str, big: bool) -> Directory:
    """Read one directory. For a repeated tag the larger value is taken, since a decoder may use either."""
    values: dict[int, int] = {}
    wanted = (_WIDTH, _HEIGHT, _BITS, _SAMPLES, _KIND, _TILE_WIDTH, _TILE_HEIGHT)
    for entry in entries:
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag not in wanted or kind not in _TYPES:
            continue
        (count,) = struct.unpack_from(order + ("Q" if big else "I"), data, entry + 4)
        position, room = entry + (12 if big else 8), 8 if big else 4
        if count * struct.calcsize(_TYPES[kind]) > room:  # the values are elsewhere, such as the bits of each channel
            (position,) = struct.unpack_from(order + ("Q" if big else "I"), data, position)
        (value,) = struct.unpack_from(order + _TYPES[kind], data, position)
        values[tag] = max(value, values.get(tag, 0))
    tile = values.get(_TILE_WIDTH, 0), values.get(_TILE_HEIGHT, 0)
    size = values.get(_WIDTH, 0), values.get(_HEIGHT, 0)
    return Directory(offset, *size, values.get(_SAMPLES, 1), values.get(_BITS, 1), tile, values.get(_KIND, 0))
