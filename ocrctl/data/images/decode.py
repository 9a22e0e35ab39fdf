"""Decode images to RGB and check them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ocrctl.config.limits import max_image_pixels
from ocrctl.data.images import Image
from ocrctl.data.images.header import baseline_sizes
from ocrctl.data.images.limits import limit_problem, stated_size, value_problem
from ocrctl.errors import InputError

# OpenCV's log lines name neither file nor sample; the reason is part of our own error instead.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # type: ignore[attr-defined]


_LARGE = 1 << 24  # pixels; larger images are checked in grey, which takes a third of the memory
_JPEG_END = b"\xff\xd9"
_PROBE_JPEG = cv2.IMREAD_REDUCED_GRAYSCALE_8
_REDUCED = {  # OpenCV's flags for decoding at a fraction of the size, as RGB
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_COLOR_RGB,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_COLOR_RGB,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_COLOR_RGB,
}


def decode(data: bytes, where: str, reduce: int = 1) -> Image:
    """Decode an encoded image file to (height, width, 3) uint8 RGB; EXIF orientation is applied, alpha dropped.

    `where` names the sample in errors. `reduce` 2, 4 or 8 decodes a JPEG at that fraction of its size (rounded up),
    which saves most of the inverse transform. Raises InputError for data that is empty, cut off, not an image, or
    larger than the limits (docs/reference/limits.md); an image above the limits is not decoded.
    """
    stated = stated_size(data)
    if problem := container_problem(data) or limit_problem(data, stated) or _value_problem(data, stated):
        raise InputError(f"{where}: {problem}.")
    image = _imdecode(data, _REDUCED[reduce]) if stated else None
    if image is None:
        raise InputError(f"{where}: {_undecodable(data)}.")
    return image


def decode_problem(data: bytes) -> str:
    """Return why `data` is not a complete image, or ""; see `probe`."""
    return probe(data)[0]


def decode_problems(encoded: Sequence[bytes]) -> list[str]:
    """Return what `decode_problem` returns for each of `encoded`; baseline JPEGs whose headers are alike are compared
    with the limits together."""
    heights, widths = baseline_sizes(encoded).T
    pixels = heights * widths
    simple = ((pixels > 0) & (pixels <= max_image_pixels())).tolist()
    return [
        "" if one and data.endswith(_JPEG_END) and _imdecode(data, _PROBE_JPEG) is not None else decode_problem(data)
        for one, data in zip(simple, encoded, strict=True)
    ]


def probe(data: bytes) -> tuple[str, Image | None]:
    """Return why `data` is not a complete image, or "", and the decoded image: not RGB, for a JPEG small and grey.

    Every compressed byte is decoded, as in `decode`, but faster: a JPEG is read at 1/8 scale, which reads all of its
    entropy-coded data and skips most of the inverse transform, the one step that cannot fail. Other files are decoded
    in full with their own channels, large ones in grey.
    """
    stated = stated_size(data)
    if problem := container_problem(data) or limit_problem(data, stated):
        return problem, None
    return probe_sized(data, stated)


def probe_sized(data: bytes, stated: tuple[str, int, int] | None) -> tuple[str, Image | None]:
    """Probe as `probe` does, `data` without a problem of its container and limits, of which `stated_size` is
    `stated`."""
    if problem := _value_problem(data, stated):
        return problem, None
    if stated is None:
        return _undecodable(data), None
    kind, width, height = stated
    flags = cv2.IMREAD_UNCHANGED if width * height < _LARGE else cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    image = _imdecode(data, _PROBE_JPEG if kind in ("jpeg", "progressive") else flags)
    if image is not None and image.dtype not in (np.uint8, np.uint16):  # `decode` refuses it
        return f"the image holds {image.dtype} values, expected 8 or 16 bits a channel", None
    return (_undecodable(data) if image is None else ""), image


def _value_problem(data: bytes, stated: tuple[str, int, int] | None) -> str:
    return value_problem(data) if stated is None or stated[0] == "tiff" else ""


def container_problem(data: bytes) -> str:
    """Return why the container in `data` is empty or cut off, or "". Reads only the header and the trailer.

    OpenCV may fill missing parts with grey instead of failing, so the trailer is checked.
    """
    if data.startswith(b"\xff\xd8"):
        if not data.endswith(_JPEG_END) and not _jpeg_ends(data):
            return f"the JPEG is cut off after {len(data)} bytes (it has no end marker)"
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_damage(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        size = int.from_bytes(data[4:8], "little") + 8
        if len(data) < size:
            return f"the WebP is cut off: {len(data)} of {size} bytes are there"
    elif not data:
        return "the image file is empty"
    return ""


def _png_damage(data: bytes) -> str:
    """Walk the chunks by their lengths: OpenCV allocates what a chunk states before it reads the chunk."""
    position, view = 8, memoryview(data)
    while position + 12 <= len(data):
        length, kind = int.from_bytes(view[position : position + 4], "big"), bytes(view[position + 4 : position + 8])
        if kind == b"IEND":
            return ""
        if position + 12 + length > len(data):
            name = kind.decode("ascii", "replace") if kind.isalpha() else kind.hex(" ")
            left = len(data) - position - 12
            return f"the PNG is cut off or damaged: its chunk {name} states {length} bytes, {left} are there"
        position += 12 + length
    return f"the PNG is cut off after {len(data)} bytes (it has no IEND chunk)"


def expect_image(image: object) -> None:
    """Raise InputError unless `image` is RGB uint8 (h, w, 3) with at least one pixel."""
    if not isinstance(image, np.ndarray):
        hint = "numpy.asarray(PIL.Image.open(FILE).convert('RGB')) reads one" if isinstance(image, str | Path) else None
        raise InputError(f"Expected an RGB uint8 image (height, width, 3), found {type(image).__name__}.", hint=hint)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise InputError(f"Expected an RGB uint8 image (height, width, 3), found {image.dtype} {image.shape}.")


def _imdecode(data: bytes, flags: int) -> Image | None:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # too large, or a decoder's own assertion
        return None
    return image if image is not None and image.size else None  # type: ignore[return-value]


def _undecodable(data: bytes) -> str:
    if data[:1024].lstrip().startswith(b"%PDF"):
        return "it is a PDF; turn its pages into images first: pdftoppm -r 300 -png FILE page"
    return f"the image cannot be decoded ({len(data)} bytes, starting with {data[:4].hex(' ')})"


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end marker follows the first scan. Segments are skipped by length, so the end marker of an EXIF
    thumbnail is not mistaken for it; data that cameras append after the end is accepted."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xDA:
            return data.find(b"\xff\xd9", position) >= 0
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False
