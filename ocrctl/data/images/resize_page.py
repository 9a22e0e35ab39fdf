"""Resize pages as evaluation and inference both do: the aspect ratio is kept, sides become multiples of 32."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from ocrctl.data.images import Image

Mode = Literal["long", "short", "limit"]

MULTIPLE = 32  # coarsest stride of the detectors' backbones
LONGEST = 8192  # pixels; bounds the memory of a strip whose shorter side is scaled up to `side`


def page_scale(height: int, width: int, side: int, mode: Mode = "long") -> float:
    """Return the pixels of the network's input per pixel of a page.

    `long` scales the longer side to `side` pixels, `short` the shorter one (the longer one to at most 8192), `limit`
    shrinks a page whose longer side exceeds `side` and keeps others. Raises ValueError for sizes below 1 or an unknown
    mode.
    """
    if min(height, width, side) < 1:
        raise ValueError(f"page_scale: height {height}, width {width} and side {side} must be at least 1")
    if mode == "long":
        return side / max(height, width)
    if mode == "short":
        return min(side / min(height, width), LONGEST / max(height, width))
    if mode == "limit":
        return min(1.0, side / max(height, width))
    raise ValueError(f"page_scale: mode {mode!r} is not one of long, short, limit")


def resize_page(image: Image, side: int, mode: Mode = "long") -> tuple[Image, tuple[float, float]]:
    """Resize `image` (h, w, 3) RGB uint8 by `page_scale`, padded with black below and to the right to multiples of 32.

    Returns the result and its (x, y) pixels per pixel of `image`, which differ from `page_scale` by the rounding to
    whole pixels. Raises ValueError when `image` is not RGB uint8.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"resize_page: expected RGB uint8 (H, W, 3), found {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    scale = page_scale(height, width, side, mode)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    out = np.zeros((up_to_multiple(new_height), up_to_multiple(new_width), 3), np.uint8)
    part = out[:new_height, :new_width]
    if (new_height, new_width) == (height, width):
        part[:] = image
    else:
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        part[:] = cv2.resize(image, (new_width, new_height), interpolation=how)
    return out, (new_width / width, new_height / height)


def up_to_multiple(size: int) -> int:
    """Round `size` up to a multiple of 32."""
    return -(-size // MULTIPLE) * MULTIPLE
