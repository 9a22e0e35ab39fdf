"""Flat polygons as columns: those of as many points side by side, so that one operation looks at all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def by_size(sizes: Ints) -> list[tuple[int, Ints]]:
    """Each number of points that occurs, but none, and which polygons (of N) have as many."""
    if len(sizes) and sizes.min() == sizes.max():
        return [(int(sizes[0]), np.arange(len(sizes)))] if sizes[0] else []
    return [(size, np.flatnonzero(sizes == size)) for size in np.unique(sizes[sizes > 0]).tolist()]


def columns(points: Floats, starts: Ints, size: int) -> tuple[Floats, Floats]:
    """x and y (size, N) of polygons of `size` points each, whose first points stand in rows `starts` (N,)."""
    if starts[-1] - starts[0] == size * (len(starts) - 1):  # one behind the other
        block = points[starts[0] : starts[-1] + size].reshape(-1, size, 2)
        return np.ascontiguousarray(block[:, :, 0].T), np.ascontiguousarray(block[:, :, 1].T)
    rows = starts + np.arange(size)[:, None]
    return points[:, 0][rows], points[:, 1][rows]


def boxes(points: Floats, offsets: Ints) -> Floats:
    """(4, N) left, top, right and bottom of the upright box around each polygon, NaN where it has no points."""
    sizes = np.diff(offsets)
    result = np.full((4, len(sizes)), np.nan)
    for size, members in by_size(sizes):
        x, y = columns(points, offsets[members], size)
        box = np.array((x.min(0), y.min(0), x.max(0), y.max(0)))
        if len(members) == len(sizes):
            return box
        result[:, members] = box
    return result
