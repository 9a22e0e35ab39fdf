"""Apply matrices (3, 3) to points, polygons and quads: many at once as arrays, a few as plain numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.polygons.page_words import Floats


def outset(points: Floats, offsets: NDArray[np.int64], distance: float) -> Floats:
    """Move the edges of clockwise polygons, points (P, 2) and offsets (N + 1,), outward by `distance`."""
    after, before = np.arange(1, len(points) + 1), np.arange(-1, len(points) - 1)
    after[offsets[1:] - 1], before[offsets[:-1]] = offsets[:-1], offsets[1:] - 1
    edge = points[after] - points
    normal = np.stack((edge[:, 1], -edge[:, 0]), 1) / np.maximum(np.hypot(*edge.T), 1e-9)[:, None]
    both = normal + normal[before]
    size = np.maximum((both * both).sum(1, keepdims=True), 0.5)
    return np.asarray(points + 2 * distance * both / size)


def at(matrix: Floats, x: float, y: float) -> tuple[float, float]:
    """Apply a matrix to one point; faster than arrays for a few points."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    depth = g * x + h * y + i
    return (a * x + b * y + c) / depth, (d * x + e * y + f) / depth


def shown(points: Floats, matrices: Floats) -> Floats:
    """Apply to each of points (n, 2) its own of `matrices` (n, 3, 3)."""
    mapped = np.einsum("nij,nj->ni", matrices[:, :, :2], points) + matrices[:, :, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def quad(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
