"""Read a tall word upright and turned to either side, and take the most confident reading.

A crop much higher than wide is a single letter or vertical text, mostly a word turned by 90 degrees. Its size does not
say which, so a model reads all three orientations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.images import Image

TURNS = (0, 1, 3)  # quarter turns to the left of each orientation: of upright text, text that runs down, that runs up


def orientations(image: Image) -> list[Image]:
    """Return an image (h, w, C) in each orientation of TURNS, as views."""
    return [np.rot90(image, turn) if turn else image for turn in TURNS]


def on_upright(positions: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """Map positions (n, 2) in orientation `number` of an image to the image itself; x and y from 0 to 1."""
    x, y = positions.T
    turned = {0: (x, y), 1: (1.0 - y, x), 3: (y, 1.0 - x)}[TURNS[number]]
    return np.stack(turned, axis=1)


def best_orientation(confidences: Sequence[float]) -> int:
    """Return the number of the most confident reading of one word; the first of equal ones."""
    return max(range(len(confidences)), key=lambda number: confidences[number])
