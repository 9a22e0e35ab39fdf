"""What an image file may hold at most. Checked from its header, before any of it is decoded.

The settings `data.max_image_pixels` and `data.max_image_bytes` of a training; of every command, the environment
variables OCRCTL_DATA__MAX_IMAGE_PIXELS and OCRCTL_DATA__MAX_IMAGE_BYTES, which loader processes inherit.
"""

from __future__ import annotations

import os
from functools import lru_cache

from ocrctl.errors import UsageError

IMAGE_PIXELS = 100_000_000  # width x height; A4 at 1000 dpi. 300 MB as 8-bit RGB
IMAGE_BYTES = 512 << 20  # of an image file, all pages of a TIFF together
IMAGE_PAGES = 10_000  # of one TIFF

PIXELS_VARIABLE = "OCRCTL_DATA__MAX_IMAGE_PIXELS"
BYTES_VARIABLE = "OCRCTL_DATA__MAX_IMAGE_BYTES"


def max_image_pixels() -> int:
    """Width x height of the largest image that is decoded. Raises UsageError when the variable is no number."""
    text = os.environ.get(PIXELS_VARIABLE)
    return IMAGE_PIXELS if text is None else _number(PIXELS_VARIABLE, text)


def max_image_bytes() -> int:
    """Bytes of the largest image file that is read. Raises UsageError when the variable is no number."""
    text = os.environ.get(BYTES_VARIABLE)
    return IMAGE_BYTES if text is None else _number(BYTES_VARIABLE, text)


def use_image_limits(pixels: int, size: int) -> None:
    """Hold this process, and those that it starts, to `pixels` and `size` bytes an image."""
    if (pixels, size) != (max_image_pixels(), max_image_bytes()):
        os.environ[PIXELS_VARIABLE], os.environ[BYTES_VARIABLE] = str(pixels), str(size)


@lru_cache(maxsize=8)
def _number(variable: str, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise UsageError(f"{variable}: expected a whole number of 1 or more, found {text!r}.")
    return number
