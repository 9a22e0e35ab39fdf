"""Contact sheets: samples in a grid with their labels, to inspect training data."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import cv2
import numpy as np

from ocrctl.data.images import Image

_CAPTION = 16  # pixels below each image


@lru_cache(maxsize=1)
def _caption_font() -> cv2.FontFace:
    return cv2.FontFace("uni")  # OpenCV's built-in font, which covers Hangul and Latin


def contact_sheet(samples: Iterable[tuple[Image, str]], columns: int = 8, cell: tuple[int, int] = (64, 176)) -> Image:
    """Return an RGB uint8 sheet of (RGB image, label) pairs, row by row. `cell`: height and width with caption."""
    height, width = cell
    tiles = [_tile(image, label, height, width) for image, label in samples]
    blank = np.full((height, width, 3), 40, np.uint8)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows) if rows else blank


def _tile(image: Image, label: str, height: int, width: int) -> Image:
    tile = np.full((height, width, 3), 40, np.uint8)
    scale = min((height - _CAPTION - 4) / image.shape[0], (width - 4) / image.shape[1])
    size = (max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale)))
    tile[2 : 2 + size[1], 2 : 2 + size[0]] = cv2.resize(
        image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    cv2.putText(tile, label, (2, height - 4), (255, 230, 90), _caption_font(), 11)
    return tile
