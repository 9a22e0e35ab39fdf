"""Read size and EXIF orientation of an encoded image from its first bytes, without decoding it."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LARGEST = (1 << 31) - 1  # pixels; PNG's own limit (https://www.w3.org/TR/png-3/#11IHDR)
_JPEG = b"\xff\xd8"
_SEGMENT, _SIZE = struct.Struct(">BBH"), struct.Struct(">HH")
_ALONE = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # within the coded data of a JPEG
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_MANY_SCANS = 64  # from here on scans are counted by walking the file
_SHARED = 1 << 12  # bytes; a longer start holds a thumbnail or a profile, which few files share
_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))


class Header(NamedTuple):
    """Width and height as stored, before EXIF `orientation` (1 to 8; 1 is upright) is applied."""

    width: int
    height: int
    orientation: int = 1

    @property
    def displayed(self) -> tuple[int, int]:
        """Return width and height after the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_header(data: bytes) -> Header | None:
    """Read the header of an image from its start or the whole file. None for other data, or data that is cut off."""
    if not data:
        return None
    try:
        if data.startswith(_JPEG):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack(">II", data[16:24] if data[12:16] == b"IHDR" else b"")
            orientation = _png_orientation(data)
            valid = 0 < width <= _LARGEST and 0 < height <= _LARGEST and orientation
            return Header(width, height, orientation) if valid else None
        return _webp(data) or _other(data)
    except (struct.error, IndexError, ValueError):
        return None


def _jpeg(data: bytes) -> Header | None:
    found = _frame(data)
    return found[1] if found is not None else None


class _JpegStart(NamedTuple):
    """The bytes of a JPEG before its height and width, and what they say."""

    data: bytes
    progressive: bool
    orientation: int


_last_start = _JpegStart(b"", False, 1)  # of the JPEG parsed last; replaced as a whole, so threads need no lock


def jpeg_header(data: bytes) -> tuple[bool, Header] | None:
    """Return whether a JPEG is progressive, and its header. Raises struct.error when it is cut off.

    A JPEG that starts like the one before it, as one encoder writes them, takes one comparison.
    """
    global _last_start
    start, progressive, orientation = _last_start
    if start and data.startswith(start):
        height, width = _SIZE.unpack_from(data, len(start))
        return (progressive, Header(width, height, orientation)) if width and height else None
    found = _frame(data)
    if found is None:
        return None
    offset, header = found
    progressive = data[offset - 4] in _PROGRESSIVE
    if offset <= _SHARED:
        _last_start = _JpegStart(data[:offset], progressive, header.orientation)
    return progressive, header


def _frame(data: bytes) -> tuple[int, Header] | None:
    """Return the offset of height and width in a JPEG and its header. Raises struct.error when it is cut off."""
    position, orientation = 2, 1
    while position + 4 <= len(data):
        start, marker, length = _SEGMENT.unpack_from(data, position)
        if start != 0xFF:
            return None
        if marker == 0xFF:
            position += 1
            continue
        if marker in _ALONE:  # has no length: decoders may skip it differently
            return None
        if marker in _FRAMES:
            height, width = _SIZE.unpack_from(data, position + 5)
            return (position + 5, Header(width, height, orientation)) if width and height else None
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            orientation = exif_orientation(data[position + 10 : position + 2 + length])
        if marker == 0xDA:
            return None
        position += 2 + length
    return None


def jpeg_scans(data: bytes) -> int:
    """Count the scans of a JPEG; small counts are approximate. Only a progressive JPEG may have many."""
    scans = data.count(b"\xff\xda")
    if scans < _MANY_SCANS:
        return scans
    scans, position = 0, 2
    while match := _MARKER.search(data, position):
        marker, position = data[match.start() + 1], match.end()
        if marker == 0xD9:
            break
        scans += marker == 0xDA
        position += int.from_bytes(data[position : position + 2], "big")
    return scans


def baseline_sizes(encoded: Sequence[bytes]) -> NDArray[np.int64]:
    """Return (I, 2) height and width of the JPEGs that start like the one parsed last and are not progressive; zeros
    for all other data, whose headers `jpeg_header` or `read_header` reads."""
    start, progressive, _ = _last_start
    sizes = np.zeros((len(encoded), 2), np.int64)
    if start and not progressive:
        offset, end = len(start), len(start) + _SIZE.size
        alike = [data.startswith(start) and len(data) >= end for data in encoded]
        sides = b"".join([data[offset:end] for data, one in zip(encoded, alike, strict=True) if one])
        sizes[alike] = np.frombuffer(sides, ">u2").reshape(-1, 2)
    return sizes


class HeaderReader:
    """Read the headers of many images. JPEGs with the same bytes before their size, as one encoder writes them without
    dates and thumbnails, take one comparison each."""

    def __init__(self) -> None:
        self._alike, self._orientation = b"", 1

    def read_all(self, starts: Sequence[bytes]) -> NDArray[np.int32]:
        """Return (I, 3) width, height and orientation for the start of each image; zeros where `read` returns None."""
        if not self._alike and starts:
            self.read(starts[0])
        offset = len(self._alike)
        alike = [start.startswith(self._alike) for start in starts]
        if self._alike and False not in alike:
            sides = b"".join([start[offset : offset + _SIZE.size] for start in starts])
            if len(sides) == _SIZE.size * len(starts):
                found = np.empty((len(starts), 3), np.int32)
                found[:, 1::-1] = np.frombuffer(sides, ">u2").reshape(-1, 2)
                found[:, 2] = self._orientation
                found[(found[:, :2] == 0).any(1)] = 0
                return found
        return np.array([self.read(start) or (0, 0, 0) for start in starts], np.int32).reshape(-1, 3)

    def read(self, data: bytes) -> Header | None:
        """Read as `read_header` does."""
        if self._alike and data.startswith(self._alike) and len(data) >= len(self._alike) + _SIZE.size:
            height, width = _SIZE.unpack_from(data, len(self._alike))
            return Header(width, height, self._orientation) if width and height else None
        if not data.startswith(_JPEG):
            return read_header(data)
        try:
            found = _frame(data)
        except struct.error:
            return None
        if found is None:
            return None
        offset, header = found
        self._alike, self._orientation = data[:offset], header.orientation
        return header


def exif_orientation(tiff: bytes) -> int:
    """Return tag 0x0112 of a TIFF header; 1 when it is missing or invalid."""
    try:
        order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
        if order is None:
            return 1
        (start,) = struct.unpack(order + "I", tiff[4:8])
        (count,) = struct.unpack(order + "H", tiff[start : start + 2])
        for number in range(count):
            entry = tiff[start + 2 + 12 * number : start + 14 + 12 * number]
            tag, value = struct.unpack(order + "H6xH", entry[:10])
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _png_orientation(data: bytes) -> int:
    """Return the EXIF orientation of a PNG; 0 when the data ends before the pixels, so that EXIF may still follow."""
    position = 8
    while position + 8 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        if kind == b"eXIf":
            return exif_orientation(data[position + 8 : position + 8 + length])
        if kind == b"IDAT":
            return 1
        position += 12 + length
    return 0


def _webp(data: bytes) -> Header | None:
    """Read a WebP header; None for a WebP with EXIF."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or (data[12:16] == b"VP8X" and data[20] & 0x08):
        return None
    size = webp_size(data)
    return Header(*size) if size else None


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP, or of the canvas of an extended one."""
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _other(data: bytes) -> Header | None:
    import logging

    from PIL import Image
    from PIL.TiffImagePlugin import TiffImageFile

    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # it logs files that are refused here
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            stated = image.getexif().get(0x0112, 1)
            size = image.size
            if isinstance(image, TiffImageFile):  # `size` is as displayed; a tag of another type is not applied
                size = int(image.tag_v2[256]), int(image.tag_v2[257])
            header = Header(*size, stated if isinstance(stated, int) and 1 <= stated <= 8 else 1)
            return header if min(size) > 0 and max(size) <= _LARGEST else None
    except Exception:  # PIL has many parsers, and damaged files make them raise nearly anything
        return None
