"""Where a recogniser attended to for each character of a text, in shares of the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Points:
    """Sampling points of n characters, H heads, K points each.

    at: (n, H, K, 2), x and y from 0 to 1 across and down the image as it was read. weights: (n, H, K), they sum to 1
    over K. outside: bool (n, H, K), points that the model placed beyond the image, which are sampled at its edge.
    """

    at: NDArray[np.float32]
    weights: NDArray[np.float32]
    outside: NDArray[np.bool_]


@dataclass(frozen=True)
class Attention:
    """What a model attended to for each of the n characters of a text.

    cells: float32 (n, h, w), weights that sum to 1 over the cells of the features that the image reaches. size: width
    and height of a cell as shares of the image; the first cell is at its top left. kind: "cross", "self" or "points".
    points: of a model that samples the image. steps: float64 (n, 2), of CTC, from where to where across the image, from
    0 to 1, the steps of each character are. turns: quarter turns to the left after which the image was read.
    """

    cells: NDArray[np.float32]
    size: tuple[float, float]
    kind: str
    points: Points | None = None
    steps: NDArray[np.float64] | None = None
    turns: int = 0

    def centres(self) -> NDArray[np.float64]:
        """Return the centre of mass of each character, x and y from 0 to 1: (n, 2)."""
        _, rows, columns = self.cells.shape
        across, down = ((np.arange(count) + 0.5) * side for count, side in zip((columns, rows), self.size, strict=True))
        total = self.cells.sum((1, 2))
        x, y = self.cells.sum(1) @ across / total, self.cells.sum(2) @ down / total
        return np.clip(np.stack([x, y], axis=1), 0.0, 1.0)
