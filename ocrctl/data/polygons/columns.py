"""Group flat polygons by their number of points, so that one vectorised operation handles each group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def by_size(sizes: Ints) -> list[tuple[int, Ints]]:
    """Return each number of points above 0 that occurs, and the indices of the polygons (of N) that have it."""
    if len(sizes) and sizes.min() == sizes.max():
        return [(int(sizes[0]), np.arange(len(sizes)))] if sizes[0] else []
    return [(size, np.flatnonzero(sizes == size)) for size in np.unique(sizes[sizes > 0]).tolist()]


def columns(points: Floats, starts: Ints, size: int) -> tuple[Floats, Floats]:
    """Return x and y (size, N) of polygons of `size` points each, whose first points are in rows `starts` (N,)."""
    if starts[-1] - starts[0] == size * (len(starts) - 1):  # contiguous
        block = points[starts[0] : starts[-1] + size].reshape(-1, size, 2)
        return np.ascontiguousarray(block[:, :, 0].T), np.ascontiguousarray(block[:, :, 1].T)
    rows = starts + np.arange(size)[:, None]
    return points[:, 0][rows], points[:, 1][rows]


def boxes(points: Floats, offsets: Ints) -> Floats:
    """Return (4, N) left, top, right and bottom of the box around each polygon, NaN for one without points."""
    sizes = np.diff(offsets)
    result = np.full((4, len(sizes)), np.nan)
    for size, members in by_size(sizes):
        x, y = columns(points, offsets[members], size)
        box = np.array((x.min(0), y.min(0), x.max(0), y.max(0)))
        if len(members) == len(sizes):
            return box
        result[:, members] = box
    return result
