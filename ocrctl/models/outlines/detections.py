"""Detected polygons, which every detector's postprocessing returns, and the check of its input maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrctl.models.finite_arrays import not_finite

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """N outlines of one image, in pixels of the map they were found on, clockwise as seen."""

    points: NDArray[np.float32]  # (P, 2) x, y
    offsets: NDArray[np.int64]  # (N + 1,) outline i owns points[offsets[i]:offsets[i + 1]]
    scores: NDArray[np.float32]  # (N,) 0 to 1

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def from_quads(cls, quads: NDArray[np.floating], scores: NDArray[np.floating]) -> Detections:
        """Create from quads (N, 4, 2) and scores (N,)."""
        offsets = np.arange(len(scores) + 1, dtype=np.int64) * 4
        return cls(quads.reshape(-1, 2).astype(np.float32), offsets, scores.astype(np.float32))

    @classmethod
    def from_polygons(cls, polygons: Sequence[NDArray[np.floating]], scores: NDArray[np.floating]) -> Detections:
        """Create from N outlines (n, 2) and scores (N,)."""
        offsets = np.cumsum([0, *(len(polygon) for polygon in polygons)]).astype(np.int64)
        points = np.concatenate([np.zeros((0, 2)), *polygons])
        return cls(points.astype(np.float32), offsets, np.asarray(scores, np.float32))

    def polygon(self, index: int) -> NDArray[np.float32]:
        """Return the points (n, 2) of outline `index`."""
        return self.points[self.offsets[index] : self.offsets[index + 1]]

    def quads(self) -> NDArray[np.float32]:
        """Return all outlines as (N, 4, 2). Raises ValueError when one does not have four points."""
        other = np.flatnonzero(np.diff(self.offsets) != 4)
        if len(other):
            raise ValueError(f"outline {other[0]} has {np.diff(self.offsets)[other[0]]} points, not 4")
        return self.points.reshape(-1, 4, 2)

    def scaled(self, sx: float, sy: float) -> Detections:
        """Scale by sx horizontally and sy vertically."""
        return Detections(self.points * np.array((sx, sy), np.float32), self.offsets, self.scores)

    def on_image(self, scale: tuple[float, float], size: tuple[int, int]) -> Detections:
        """Convert from the network's input to pixels of the image of `size` (height, width), whose resize had the
        factors `scale` (x, y), and clip to it: the input is padded by up to 31 black pixels."""
        points = self.scaled(1 / scale[0], 1 / scale[1]).points
        return Detections(np.clip(points, 0, np.array(size[::-1], np.float32)), self.offsets, self.scores)


NO_DETECTIONS = Detections.from_quads(np.zeros((0, 4, 2)), np.zeros(0))


def check_map(values: NDArray[np.floating], dimensions: int = 2) -> Map:
    """Return a map as contiguous float32. Raises ValueError for a wrong shape, an empty map, or non-finite values."""
    if values.ndim != dimensions or not values.size:
        raise ValueError(f"expected a map of {dimensions} dimensions that is not empty, found shape {values.shape}")
    result = np.ascontiguousarray(values, np.float32)
    if held := not_finite(result):
        raise ValueError(f"the model's output holds {held}")
    return result
