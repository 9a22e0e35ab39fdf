"""Compute the areas that polygons of the same image share, for every pair with overlapping boxes of many images at
once.

Polygons come as flat arrays: points (P, 2) in pixels, offsets (N + 1,); polygon i owns points[offsets[i]:offsets[i+1]].
Two convex quads are clipped in numpy (Sutherland and Hodgman 1974, "Reentrant polygon clipping"), all pairs together;
what is not a convex quad goes through shapely. Inside is what a line from afar crosses an odd number of times, and the
area of one polygon is that of the shoelace formula, as in the General Polygon Clipper under the scripts of the Robust
Reading Competition: where an outline crosses itself the two differ.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Corners = NDArray[np.complex128]  # x + iy

_CELLS = 4_000_000  # pairs of boxes compared at a time
_PAIRS = 1 << 14  # quads clipped at a time: their columns stay in the processor's cache


def areas(points: Floats, offsets: Ints) -> Floats:
    """Compute areas (N,) in square pixels by the shoelace formula; 0 for fewer than three points."""
    found = np.zeros(len(offsets) - 1)
    filled = np.diff(offsets) > 0
    if filled.any():
        base = points[np.repeat(offsets[:-1], np.diff(offsets))]  # differences lose no digits far from the origin
        here, after = points - base, following(points, offsets) - base
        twice = here[:, 0] * after[:, 1] - after[:, 0] * here[:, 1]
        found[filled] = np.abs(np.add.reduceat(twice, offsets[:-1][filled])) / 2
    return found


def heights(points: Floats, offsets: Ints) -> Floats:
    """Compute heights (N,) in pixels: of the strip with a polygon's area and outline, which for a box is its shorter
    side."""
    found = np.zeros(len(offsets) - 1)
    filled = np.flatnonzero(np.diff(offsets) > 0)
    if len(filled):
        steps = np.hypot(*(following(points, offsets) - points).T)
        half = np.add.reduceat(steps, offsets[:-1][filled]) / 2  # length and height of the strip together
        size = areas(points, offsets)[filled]
        root = np.sqrt(np.maximum(half * half / 4 - size, 0))
        found[filled] = size / np.maximum(half / 2 + root, 1e-9)
    return found


def bounds(points: Floats, offsets: Ints) -> Floats:
    """Compute boxes (N, 4): left, top, right, bottom; empty ones, which overlap nothing, for fewer than three
    points."""
    found = np.tile([np.inf, np.inf, -np.inf, -np.inf], (len(offsets) - 1, 1))
    whole = np.diff(offsets) > 2
    filled = np.flatnonzero(np.diff(offsets) > 0)
    if len(filled):
        starts = offsets[:-1][filled]
        low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
        found[filled] = np.concatenate((low, high), axis=1)
        found[~whole] = [np.inf, np.inf, -np.inf, -np.inf]
    return found


def meeting(boxes: Floats, spans: Ints, others: Floats, other_spans: Ints) -> tuple[Ints, Ints]:
    """Find pairs of boxes (N, 4) and (M, 4) of the same image that overlap or touch, ordered by the first, then the
    second.

    spans and other_spans (I + 1,): image i owns the boxes from spans[i] up to spans[i + 1].
    """
    found = [np.zeros((2, 0), np.int64)]
    pairs_of_spans = zip(pairwise(spans.tolist()), pairwise(other_spans.tolist()), strict=True)
    for (start, stop), (other_start, other_stop) in pairs_of_spans:
        if other_start == other_stop:
            continue
        left, top, right, bottom = others[other_start:other_stop].T
        step = max(1, _CELLS // (other_stop - other_start))
        for first in range(start, stop, step):
            part = boxes[first : min(first + step, stop), :, None]
            meet = (part[:, 0] <= right) & (part[:, 2] >= left) & (part[:, 1] <= bottom) & (part[:, 3] >= top)
            rows, columns = np.nonzero(meet)
            found.append(np.stack((rows + first, columns + other_start)))
    one, two = np.concatenate(found, axis=1)
    return one, two


def shared_areas(
    points: Floats, offsets: Ints, other_points: Floats, other_offsets: Ints, first: Ints, second: Ints
) -> Floats:
    """Compute the area (K,) in square pixels that polygon first[k] of one list and polygon second[k] of the other
    share."""
    area = np.zeros(len(first))
    if not len(first):
        return area
    corners, plain = _convex_quads(points, offsets)
    other_corners, other_plain = _convex_quads(other_points, other_offsets)
    fast = plain[first] & other_plain[second]
    quick = np.flatnonzero(fast)
    for start in range(0, len(quick), _PAIRS):
        part = quick[start : start + _PAIRS]
        area[part] = _quad_areas(corners[first[part]], other_corners[second[part]])
    slow = np.flatnonzero(~fast)
    if len(slow):
        one, one_at = np.unique(first[slow], return_inverse=True)
        two, two_at = np.unique(second[slow], return_inverse=True)
        shapes, others = even_odd(points, offsets, one), even_odd(other_points, other_offsets, two)
        area[slow] = shapely.area(shapely.intersection(shapes[one_at], others[two_at]))
    return area


def crossed(points: Floats, offsets: Ints) -> Bools:
    """Test (N,) whether the outline of a polygon crosses or touches itself, or encloses nothing (not valid under OGC
    rules).

    False for fewer than three points, which are no outline.
    """
    found = np.zeros(len(offsets) - 1, np.bool_)
    rest = np.flatnonzero((np.diff(offsets) > 2) & ~_convex_quads(points, offsets)[1])
    if len(rest):
        found[rest] = ~shapely.is_valid(_shapes(points, offsets, rest))
    return found


def even_odd(points: Floats, offsets: Ints, chosen: Ints) -> NDArray[np.object_]:
    """Build shapely polygons (K,) of the chosen ones by the even-odd rule; empty ones without an inside."""
    shapes = np.full(len(chosen), shapely.Polygon(), dtype=object)
    whole = np.flatnonzero(np.diff(offsets)[chosen] > 2)
    if not len(whole):
        return shapes
    made = _shapes(points, offsets, chosen[whole])
    invalid = np.flatnonzero(~shapely.is_valid(made))
    if len(invalid):
        made[invalid] = _polygonal(np.asarray(shapely.make_valid(made[invalid], method="linework")))
    shapes[whole] = made
    return shapes


def _shapes(points: Floats, offsets: Ints, members: Ints) -> NDArray[np.object_]:
    """(K,) shapely polygons of `members` (K,), each of three points or more, as they stand."""
    sizes = np.diff(offsets)[members]
    ends = np.cumsum(sizes)
    rows = np.repeat(offsets[:-1][members] - (ends - sizes), sizes) + np.arange(ends[-1])
    rings = shapely.linearrings(
        np.insert(points[rows], ends, points[offsets[:-1][members]], axis=0),
        indices=np.repeat(np.arange(len(members)), sizes + 1),
    )
    return np.asarray(shapely.polygons(rings))


def _polygonal(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """The polygons in each shape: repairing a crossed outline may leave lines beside them."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    inner, part = shapely.get_parts(parts, return_index=True)
    keep = shapely.get_type_id(inner) == shapely.GeometryType.POLYGON
    out = np.full(len(shapes), shapely.Polygon(), dtype=object)
    if keep.any():
        owners, member = np.unique(owner[part[keep]], return_inverse=True)
        out[owners] = shapely.multipolygons(inner[keep], indices=member)
    return out


def following(points: Floats, offsets: Ints) -> Floats:
    """Return for each point the next one (P, 2) of its polygon."""
    moved = np.roll(points, -1, axis=0)
    filled = np.diff(offsets) > 0
    moved[offsets[1:][filled] - 1] = points[offsets[:-1][filled]]
    return moved


def _convex_quads(points: Floats, offsets: Ints) -> tuple[Corners, Bools]:
    """(N, 4) corners, turning from x to y, and (N,) whether they are a convex quad with an area."""
    sizes = np.diff(offsets)
    corners = np.zeros((len(sizes), 4), np.complex128)
    quads = np.flatnonzero(sizes == 4)
    flat = points[:, 0] + 1j * points[:, 1]
    corners[quads] = flat[offsets[:-1][quads][:, None] + np.arange(4)]
    sides = corners[:, [1, 2, 3, 0]] - corners
    turns = _cross(sides[:, [3, 0, 1, 2]], sides)
    right, left = (turns >= 0).all(1), (turns <= 0).all(1)
    corners[left] = corners[left, ::-1]
    return corners, (right ^ left) & (sizes == 4)  # neither: bent or crossed; both: flat


def _cross(a: Corners, b: Corners) -> Floats:
    return np.asarray(a.real * b.imag - a.imag * b.real)


def _quad_areas(quads: Corners, others: Corners) -> Floats:
    """(K,) area shared by each pair of convex quads (K, 4): the first is cut by the four sides of the second."""
    origin = others[:, :1]
    outline, others = quads - origin, others - origin
    count = np.full(len(quads), 4)
    for side in range(4):
        start, end = others[:, side], others[:, (side + 1) % 4]
        outline, count = _cut(outline, count, start[:, None], (end - start)[:, None])
    after = np.roll(outline, -1, axis=1)  # slots past the last corner repeat the first: they close the outline
    return np.maximum(_cross(outline, after).sum(1) / 2, 0.0)


def _cut(outline: Corners, count: Ints, start: Corners, side: Corners) -> tuple[Corners, Ints]:
    """What of each outline (K, S), of `count` (K,) corners, lies on the inner side of a line (K, 1): (K, S + 1)."""
    rows, slots = outline.shape
    depth = _cross(side, outline - start)
    after, depth_after = np.roll(outline, -1, axis=1), np.roll(depth, -1, axis=1)
    real = np.arange(slots) < count[:, None]
    stays = (depth >= 0) & real
    crosses = (depth * depth_after < 0) & real
    # One division of exact products: where corners are whole pixels and the crossing is one, it comes out whole.
    row, slot = np.nonzero(crosses)
    here, there = depth[row, slot], depth_after[row, slot]
    crossing = (outline[row, slot] * there - after[row, slot] * here) / (there - here)
    taken = stays.astype(np.int64) + crosses
    ends = np.cumsum(taken, axis=1)
    cut = np.zeros((rows, slots + 1), np.complex128)
    cut[row, ends[row, slot] - 1] = crossing
    row, slot = np.nonzero(stays)
    cut[row, (ends - taken)[row, slot]] = outline[row, slot]
    left = ends[:, -1]
    return np.where(np.arange(slots + 1) < left[:, None], cut, cut[:, :1]), left
