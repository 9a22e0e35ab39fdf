"""Limits on the size of input files, checked before anything is decoded or unpacked.

Each limit is a setting (config/settings.py documents it with its unit). Commands without settings read its environment
variable, such as OCRCTL_DATA__MAX_IMAGE_PIXELS, without importing pydantic; `train` sets those variables from its
settings, so that loader processes of every start method share them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache

from ocrctl.errors import UsageError

IMAGE_PIXELS = 100_000_000  # width x height; A4 at 1000 dpi. 300 MB as 8-bit RGB
IMAGE_BYTES = 512 << 20  # of an image file, all pages of a TIFF together
IMAGE_PAGES = 10_000  # of one TIFF
UNPACK_RATIO = 50  # bytes of a checkpoint or zip, unpacked, for each byte of the file; PyTorch's own are not packed
UNPACK_FREE = 8 << 20  # bytes that a file of any size may unpack to
ZIP_TEXT_BYTES = 256 << 20  # of all label texts of a zip, unpacked

DEFAULTS = {
    "data.max_image_pixels": IMAGE_PIXELS,
    "data.max_image_bytes": IMAGE_BYTES,
    "limits.unpack_ratio": UNPACK_RATIO,
    "limits.unpack_free": UNPACK_FREE,
    "limits.zip_text_bytes": ZIP_TEXT_BYTES,
}


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return f"OCRCTL_{name.replace('.', '__').upper()}"


VARIABLES = {name: variable(name) for name in DEFAULTS}


@cache
def limit(name: str) -> int:
    """Return the limit `name` of this process. Raises UsageError when its variable is not a positive integer.

    The environment is read once, since a lookup there takes as long as reading the file of a small image. After a
    change of a variable `limit.cache_clear()` makes it read again.
    """
    text = os.environ.get(VARIABLES[name])
    if text is None:
        return DEFAULTS[name]
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise UsageError(f"{VARIABLES[name]}: expected an integer of 1 or more, found {text[:40]!r}.")
    return number


def max_image_pixels() -> int:
    """Return the maximum width x height of an image to decode. Raises UsageError as `limit`."""
    return limit("data.max_image_pixels")


def max_image_bytes() -> int:
    """Return the maximum bytes of an image file. Raises UsageError as `limit`."""
    return limit("data.max_image_bytes")


def use_limits(values: Mapping[str, int]) -> None:
    """Apply the limits `values`, by the names of settings, to this process and those that it starts."""
    for name, value in values.items():
        if value != limit(name):
            os.environ[VARIABLES[name]] = str(value)
    limit.cache_clear()
