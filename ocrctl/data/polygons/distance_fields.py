"""Compute signed distances from the pixels of a window to one polygon, positive inside.

Inside a convex quad, the distance is the minimum over its edges' half planes. A plane is linear in x and y, so the four
planes of a quad are one matrix product with two columns. Beyond a corner they are below the true distance; those pixels
are computed for all corners of all quads at once, row by row in closed form. For other polygons, the distance to each
edge is computed in the window of that edge.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Map = NDArray[np.float32]
_ON, _BACK = np.array((1, 2, 3, 0)), np.array((3, 0, 1, 2))  # next and previous corner
_FAR = 1e12  # pixels; no bound
_MARGIN = 4  # pixels; fillPoly may be inexact where a polygon leaves the array


def quad_fields(corners: Floats, sides: Floats, reach: Floats, unit: Floats, low: Ints, high: Ints) -> Iterator[Map]:
    """Yield one field (h, w) for each of M convex quads.

    corners (M, 4, 2) pixels, sides (M,) sign of the area, reach (M,) pixels up to which distances are exact, unit (M,)
    pixels, low and high (M, 2) x and y of the windows.
    """
    if not len(corners):
        return
    corners = corners - low[:, None]  # relative to the window, where float32 is precise enough
    edges = corners[:, _ON] - corners
    edges /= np.hypot(edges[..., 0], edges[..., 1])[..., None]
    normals = edges[..., ::-1] * (sides[:, None, None] * (-1, 1))  # inwards
    scaled = normals / unit[:, None, None]
    constant = scaled[..., 0] * corners[..., 0] + scaled[..., 1] * corners[..., 1]
    size = high - low
    # Rows of the left factor: for each row y of each edge of each quad, (slope_y * y + constant, slope_x).
    rows = np.repeat(size[:, 1], 4)
    ends = np.cumsum(rows)
    y = np.arange(ends[-1]) - np.repeat(ends - rows, rows)
    left = np.empty((len(y), 2), np.float32)
    left[:, 0] = np.repeat(scaled[..., 1].ravel(), rows) * y - np.repeat(constant.ravel(), rows)
    left[:, 1] = np.repeat(scaled[..., 0].ravel(), rows)
    right = np.ones((2, int(size[:, 0].max())), np.float32)
    right[1] = np.arange(right.shape[1])
    pixels, positions, values = _beyond_corners(corners, normals, reach, unit, size)
    start = first = 0
    for (w, h), stop, last in zip(size.tolist(), ends[3::4].tolist(), pixels, strict=True):
        planes = (left[start:stop] @ right[:, :w]).reshape(4, h, w)
        pair = np.minimum(planes[:2], planes[2:], out=planes[:2])
        field = np.minimum(pair[0], pair[1], out=pair[0])
        field.reshape(-1)[positions[first:last]] = values[first:last]
        start, first = stop, last
        yield field


def _beyond_corners(
    corners: Floats, normals: Floats, reach: Floats, unit: Floats, size: Ints
) -> tuple[list[int], Ints, Map]:
    """Find the pixels that are nearest to a corner, not to an edge: those between the normals of its two edges.

    Returns the end of each quad's pixels, and for all pixels the flat index in the window and the distance.
    """
    count = len(corners)
    x, y = np.ascontiguousarray(corners.transpose(2, 0, 1)).reshape(2, -1)
    nx, ny = -np.ascontiguousarray(normals.transpose(2, 0, 1))  # outward, of the edge after each corner
    nx0, ny0 = nx[:, _BACK], ny[:, _BACK]  # and of the edge before it
    away = reach[:, None]
    # Beyond the tip, where the two offset edges would meet, no plane is within the reach.
    further = away / np.maximum(1 + nx * nx0 + ny * ny0, 1e-9)
    tip, end, end0 = (ny + ny0) * further, ny * away, ny0 * away
    width, height = np.repeat(size, 4, axis=0).T
    highest = np.minimum(np.minimum(end, end0), np.minimum(tip, 0)).ravel()
    lowest = np.maximum(np.maximum(end, end0), np.maximum(tip, 0)).ravel()
    top = np.maximum(np.ceil(y + highest), 0).astype(np.int64)
    bottom = np.minimum(np.floor(y + lowest) + 1, height).astype(np.int64)
    # Where do the two normals pass one row below (first) or above? A normal that never does leaves that side open.
    down = np.array((1.0, -1.0))[:, None, None]
    open_side = np.copysign(_FAR, nx + nx0)
    slopes = nx / np.where(ny == 0, 1 / _FAR, ny) * down
    passes = ny * down > 0
    one = np.where(passes, slopes, open_side)
    two = np.where(passes[..., _BACK], slopes[..., _BACK], open_side)
    left, right = np.minimum(one, two).ravel(), np.maximum(one, two).ravel()
    # Rows of all corners.
    heights = np.maximum(bottom - top, 0)
    rows = np.cumsum(heights)
    of = np.repeat(np.arange(4 * count), heights)
    row = np.arange(len(of)) + (top + heights - rows)[of]
    x, dy = x[of], row - y[of]
    cone = of + (dy < 0) * (4 * count)
    rise = np.maximum(np.abs(dy), 1e-6)
    first = np.maximum(np.ceil(left[cone] * rise + x - 1e-9), 0)
    last = np.minimum(np.floor(right[cone] * rise + x + 1e-9), width[of] - 1)
    counts = np.maximum(last - first + 1, 0).astype(np.int64)
    # Pixels of all rows.
    line = np.repeat(np.arange(len(of)), counts)
    pixel = np.arange(len(line))
    total = np.cumsum(counts)
    start = total - counts
    positions = (row * width[of] + np.minimum(first, _FAR).astype(np.int64) - start)[line] + pixel
    values = (first - x - start)[line] + pixel
    values *= values
    values += (dy * dy)[line]
    np.sqrt(values, out=values)
    values *= (-1 / unit)[of >> 2][line]
    ends = np.concatenate(([0], total))[rows[3::4]]
    return ends.tolist(), positions, values.astype(np.float32)


def edges_field(polygon: Floats, reach: float, unit: float, box: list[int]) -> Map:
    """Compute the field of any polygon (n, 2). box: left, top, right, bottom of the window."""
    width, height = box[2] - box[0], box[3] - box[1]
    field: Map = np.full((height, width), _FAR, np.float32)  # squares first
    points = polygon - box[:2]
    following = np.roll(points, -1, axis=0)
    middles, directions, halves = edge_parts(points, following, unit)
    low = np.clip(np.floor(np.minimum(points, following) - reach), 0, (width, height)).astype(np.int64).tolist()
    high = np.clip(np.floor(np.maximum(points, following) + reach) + 1, 0, (width, height)).astype(np.int64).tolist()
    for middle, (dx, dy), half, (left, top), (right, bottom) in zip(
        middles, directions, halves.astype(np.float32), low, high, strict=True
    ):
        if right <= left or bottom <= top:
            continue
        x, y = np.arange(left, right) - middle[0], np.arange(top, bottom) - middle[1]
        across = np.add.outer((y * dx).astype(np.float32), (x * -dy).astype(np.float32))
        beyond = np.add.outer((y * dy).astype(np.float32), (x * dx).astype(np.float32))
        np.abs(beyond, out=beyond)
        beyond -= half
        np.maximum(beyond, 0, out=beyond)
        beyond *= beyond
        across *= across
        across += beyond
        view = field[top:bottom, left:right]
        np.minimum(view, across, out=view)
    np.sqrt(field, out=field)
    inside = np.zeros((height + 2 * _MARGIN, width + 2 * _MARGIN), np.uint8)
    frame = np.array(box[:2]) - _MARGIN  # subtracted after rounding, so the result does not depend on the window
    cv2.fillPoly(inside, [(np.rint(polygon) - frame).astype(np.int32)], 1)
    np.negative(field, where=inside[_MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width] == 0, out=field)
    return field


def edge_parts(points: Floats, following: Floats, unit: float | Floats) -> tuple[Floats, Floats, Floats]:
    """Return for the edges from points (n, 2) to following (n, 2): centres (n, 2) in pixels, directions (n, 2) with the
    length of one unit's inverse, half lengths (n,) in units. An edge of length 0 is horizontal."""
    apart = following - points
    lengths = np.hypot(*apart.T)
    along = np.where(lengths[:, None] > 0, apart, (1.0, 0.0)) / np.where(lengths > 0, lengths, 1)[:, None]
    return (points + following) / 2, along / np.reshape(unit, (-1, 1)), lengths / 2 / unit
