"""The one resize of whole pages that evaluation and inference share: the aspect stays, sides become multiples of 32."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from ocrctl.data.images import Image

Mode = Literal["long", "short", "limit"]

MULTIPLE = 32  # the coarsest stride of the detectors' backbones
LONGEST = 8192  # pixels; a strip whose shorter side grows to `side` would otherwise need any amount of memory


def page_scale(height: int, width: int, side: int, mode: Mode = "long") -> float:
    """Pixels of the network's input for each pixel of a page.

    `long` makes the longer side `side` pixels, `short` the shorter one (the longer one at most 8192), `limit` shrinks a
    page whose longer side is above `side` and leaves others as they are. Raises ValueError for sizes below 1 or another
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
    """`image` (h, w, 3) RGB uint8 at the size `mode` asks for, black below and to the right up to multiples of 32.

    Returns it with (x, y) pixels of the result for each pixel of `image`: both are `page_scale` but for the rounding
    of a side to whole pixels. Raises ValueError when it is not RGB uint8.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"resize_page wants RGB uint8 (H, W, 3), got {image.dtype} {image.shape}")
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
    """`size` or the next larger multiple of 32."""
    return -(-size // MULTIPLE) * MULTIPLE
