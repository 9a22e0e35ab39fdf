"""What a device needs to make the maps of a picture: measured polygons as arrays, and the tiles that each may mark.

Maps are made tile by tile: a row (polygon, tile) stands for each tile that the polygon's window touches, so that a
device looks at about as many pixels as a worker does. Tiles are counted from 1, row by row; 0 is no tile, and arrays
padded by zeros mean the same. numpy only, one picture at a time; the other half is `ocrctl/training/targets`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.targets.distance import Floats, Ints, Outlines, windows
from ocrctl.data.targets.fields import edge_parts

Packed = dict[str, dict[str, NDArray[Any]]]  # arrays by group and name; the first axis counts polygons, or rows

_FURTHEST = 1 << 22  # pixels; whole numbers up to here are exact in what a device computes from them


def packed_fields(
    shapes: Outlines, chosen: Ints, reach: Floats, unit: Floats, height: int, width: int, side: int, **of_each: Any
) -> Packed:
    """The polygons `chosen` (n,) of a map in tiles of `side`, for the fields of `distance.signed_distances`.

    reach, unit and each of `of_each` are (N,), one value a polygon. Group "quads" holds the convex ones: edges
    (n, 4, 5) float32, middle x and y in pixels, direction and half length in units, turned so that the left of an edge
    is inside; tiles (K, 2) int32. Group "curves" holds the others: edges (n, E, 5), and what is drawn of them as in
    `packed_drawn`.
    """
    low, high = windows(
        shapes.low[chosen] - reach[chosen, None], shapes.high[chosen] + reach[chosen, None], height, width
    )
    convex = shapes.convex[chosen]
    groups: Packed = {}
    for name, rows in (("quads", np.flatnonzero(convex)), ("curves", np.flatnonzero(~convex))):
        some = chosen[rows]
        counts, points, following = _edges_of(shapes, some)
        middles, directions, halves = edge_parts(points, following, np.repeat(unit[some], counts))
        if name == "quads":
            directions *= np.repeat(np.sign(shapes.areas[some]), counts)[:, None]
        edges = np.column_stack((middles, directions, halves)).astype(np.float32)
        groups[name] = {
            "edges": _rows(edges, counts, 4),
            "tiles": touched(low[rows], high[rows], width, side),
            **{key: values[some] for key, values in of_each.items()},
        }
        if name == "curves":
            groups[name] |= _drawn(counts, points, following)
    return groups


def packed_drawn(shapes: Outlines, chosen: Ints, height: int, width: int, side: int) -> dict[str, NDArray[Any]]:
    """The polygons `chosen` (n,) as they are filled on whole pixels.

    segments (n, E, 4) int32, x and y of both ends, of which the first `sizes` (n,) int32 count; tiles (K, 2) int32.
    """
    low, high = windows(np.rint(shapes.low[chosen]), np.rint(shapes.high[chosen]), height, width)
    return {**_drawn(*_edges_of(shapes, chosen)), "tiles": touched(low, high, width, side)}


def touched(low: Ints, high: Ints, width: int, side: int) -> NDArray[np.int32]:
    """(K, 2) number of a window and a tile that it touches; windows as `distance.windows` gives them, width of the map
    in pixels, a multiple of `side`."""
    first = low // side
    seen: NDArray[np.bool_] = np.all(high > low, axis=1, keepdims=True)
    size = np.where(seen, -(-high // side) - first, 0)
    counts = size.prod(1)
    owner = np.repeat(np.arange(len(low)), counts)
    down, across = np.divmod(_within(counts), size[owner, 0])
    tiles = (first[owner, 1] + down) * (width // side) + first[owner, 0] + across + 1
    return np.column_stack((owner, tiles)).astype(np.int32)


def _edges_of(shapes: Outlines, chosen: Ints) -> tuple[Ints, Floats, Floats]:
    """Of each chosen polygon the number of edges, and of all edges both ends (e, 2)."""
    starts = shapes.offsets[:-1][chosen]
    counts = shapes.offsets[1:][chosen] - starts
    start, within = np.repeat(starts, counts), _within(counts)
    return counts, shapes.points[start + within], shapes.points[start + (within + 1) % np.repeat(counts, counts)]


def _drawn(counts: Ints, points: Floats, following: Floats) -> dict[str, NDArray[np.int32]]:
    ends = np.clip(np.rint(np.hstack((points, following))), -_FURTHEST, _FURTHEST).astype(np.int32)
    return {"segments": _rows(ends, counts, 3), "sizes": counts.astype(np.int32)}


def _rows(values: NDArray[Any], counts: Ints, least: int) -> NDArray[Any]:
    """Values (e, k) of polygons one after another as (n, E, k), E the most that one has, at least `least`."""
    rows = np.zeros((len(counts), int(counts.max(initial=least)), values.shape[1]), values.dtype)
    rows[np.repeat(np.arange(len(counts)), counts), _within(counts)] = values
    return rows


def _within(counts: Ints) -> Ints:
    """0 up to counts[0], then 0 up to counts[1], and so on."""
    return np.asarray(np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))
