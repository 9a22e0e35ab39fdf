"""Check the size that an encoded image states against the limits, before it is decoded.

A few bytes may state billions of pixels, and decoders allocate memory first. An image whose format and size are not
known from its header is never decoded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

from ocrctl.config.limits import VARIABLES, max_image_pixels
from ocrctl.data.images.av1 import stream_sizes
from ocrctl.data.images.header import Header, jpeg_header, jpeg_scans, read_header, webp_size
from ocrctl.data.images.tiff import directories, is_tiff

# Memory a decoder needs per pixel, as a multiple of 8-bit RGB: measured, docs/reference/limits.md.
_WEIGHTS = {"avif": 3, "jp2": 2, "gif": 2, "pfm": 4, "hdr": 4}
_VARIABLE = VARIABLES["data.max_image_pixels"]
_JPEG = b"\xff\xd8"
_CHANNELS = 8  # maximum of a TIFF: CMYK, alpha and some more
_SCANS = 100  # maximum of a progressive JPEG; libjpeg's script writes 10, and each scan passes over all pixels
_PNM = re.compile(rb"P[1-6fF](?:\s+(?:#[^\n]*\n\s*)*)(\d{1,9})(?:\s+(?:#[^\n]*\n\s*)*)(\d{1,9})\s")
_PAM = re.compile(rb"\b(WIDTH|HEIGHT|DEPTH)\s+(\d{1,9})")
_HDR = re.compile(rb"\n[-+]([XY]) (\d{1,9}) [-+][XY] (\d{1,9})\n")


def stated_size(data: bytes) -> tuple[str, int, int] | None:
    """Return format, width and height from the header, without EXIF; None for a format that is not supported.

    For a TIFF, of its first page. Where several headers state a size, the largest.
    """
    try:
        return _stated(data)
    except (struct.error, IndexError, ValueError):
        return None


def header_and_size(data: bytes) -> tuple[Header | None, tuple[str, int, int] | None]:
    """Return the results of `read_header` and `stated_size`; a JPEG is parsed once for both."""
    if not data.startswith(_JPEG):
        return read_header(data), stated_size(data)
    try:
        found = jpeg_header(data)
    except struct.error:
        found = None
    return (found[1], _jpeg_stated(*found)) if found else (None, None)


def limit_problem(data: bytes, stated: tuple[str, int, int] | None = None) -> str:
    """Return why decoding `data` would exceed the limits, or "". `stated`: the result of `stated_size`."""
    stated = stated or stated_size(data)
    if stated is None:
        return ""
    kind, width, height = stated
    limit = max_image_pixels()
    if kind in _WEIGHTS:
        limit //= _WEIGHTS[kind]
    if width * height > limit:
        return size_problem(width, height, limit)
    if kind == "progressive" and (scans := jpeg_scans(data)) > _SCANS:
        return f"the JPEG has {scans:,} scans, the limit is {_SCANS}"
    if kind == "tiff":
        return _tiff_excess(data, limit)
    return ""


def value_problem(data: bytes) -> str:
    """Return why a TIFF is not decoded for its values, or "": more than 16 bits a channel, or too many channels."""
    if not is_tiff(data):
        return ""
    try:
        first = directories(data, 1)[0]
    except (struct.error, IndexError, ValueError):
        return ""
    if first.bits > 16:
        return f"the image holds {first.bits}-bit values, expected 8 or 16 bits a channel"
    if first.samples > _CHANNELS:
        return f"the image holds {first.samples} channels, expected at most {_CHANNELS}"
    return ""


def size_problem(width: int, height: int, limit: int) -> str:
    """Return the message for an image of `width` x `height` pixels above the limit of `limit` pixels."""
    return (
        f"the image states {width:,} x {height:,} pixels, the limit is {limit:,} ({_VARIABLE}, "
        "or data.max_image_pixels of train)"
    )


def _stated(data: bytes) -> tuple[str, int, int] | None:
    if data.startswith(_JPEG):
        found = jpeg_header(data)
        return _jpeg_stated(*found) if found else None
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack_from(">II", data, 16)
        return ("png", width, height) if data[12:16] == b"IHDR" and width and height else None
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size = webp_size(data)
        return ("webp", *size) if size else None
    if is_tiff(data):
        first = directories(data, 1)
        return ("tiff", first[0].width, first[0].height) if first and first[0].width and first[0].height else None
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return ("gif", *struct.unpack_from("<HH", data, 6))
    if data.startswith(b"BM"):
        old = struct.unpack_from("<I", data, 14) == (12,)  # OS/2
        width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
        return "bmp", abs(width), abs(height)
    if data[4:8] == b"ftyp":
        return _largest("avif", data, b"ispe", 8, stream_sizes(data))
    if data.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")):
        return _largest("jp2", data, b"\xff\x4f\xff\x51", 8)
    if data.startswith(b"\x59\xa6\x6a\x95"):
        return ("ras", *struct.unpack_from(">II", data, 4))
    return _of_text(data)


def _jpeg_stated(progressive: bool, header: Header) -> tuple[str, int, int]:
    return "progressive" if progressive else "jpeg", header.width, header.height


def _of_text(data: bytes) -> tuple[str, int, int] | None:
    """Return the stated size of formats with a text header."""
    head = data[:4096]
    if match := _PNM.match(head):
        return "pfm" if head[1] in b"fF" else "pnm", int(match[1]), int(match[2])
    if head.startswith(b"P7"):
        fields = {name: int(number) for name, number in _PAM.findall(head)}
        if fields.get(b"WIDTH") and fields.get(b"HEIGHT") and fields.get(b"DEPTH", 1) <= 4:
            return "pam", fields[b"WIDTH"], fields[b"HEIGHT"]
    if head.startswith(b"#?") and (match := _HDR.search(head)):
        return "hdr", int(match[2]), int(match[3])
    return None


def _largest(
    kind: str, data: bytes, mark: bytes, skip: int, more: Sequence[tuple[int, int]] = ()
) -> tuple[str, int, int] | None:
    """Return the largest size among `more` and the pairs of big-endian numbers `skip` bytes after the start of each
    `mark`."""
    sizes = [*more]
    offset = data.find(mark)
    while offset >= 0 and offset + skip + 8 <= len(data):
        sizes.append(struct.unpack_from(">II", data, offset + skip))
        offset = data.find(mark, offset + 4)
    return (kind, *max(sizes, key=lambda size: size[0] * size[1])) if sizes else None


def _tiff_excess(data: bytes, limit: int) -> str:
    first = directories(data, 1)[0]
    if first.tile[0] * first.tile[1] > limit:
        return size_problem(*first.tile, limit).replace("the image states", "the TIFF states tiles of")
    return ""
