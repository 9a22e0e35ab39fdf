"""Fix polygons for `dataset clean`. Only the polygons that are passed in change."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import shapely
from numpy.typing import NDArray

from ocrctl.data.polygons.columns import Floats, Ints
from ocrctl.data.polygons.rules import SPIKE_COS, UPRIGHT

_KEPT = 0.9  # minimum share of a polygon's area that remains when a crossing is fixed by dropping the smaller parts
MOST_POINTS = 2000  # of a polygon whose spikes and crossings are repaired: the time grows with their square
MOST_CROSSINGS = 64  # same reason: splitting 500 random points takes minutes and gigabytes
_ORIENTED = {  # EXIF orientation to the displayed position of (x, y) in a stored image of w x h
    2: lambda x, y, w, h: (w - x, y),
    3: lambda x, y, w, h: (w - x, h - y),
    4: lambda x, y, w, h: (x, h - y),
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (h - y, x),
    7: lambda x, y, w, h: (h - y, w - x),
    8: lambda x, y, w, h: (y, w - x),
}


def clamp(points: Floats, offsets: Ints, chosen: Ints, widths: Floats, heights: Floats) -> Floats:
    """Return a copy of points (P, 2) in which those of the polygons `chosen` are clipped to their image. widths,
    heights: (N,) of each polygon's image."""
    sizes = np.diff(offsets)[chosen]
    rows = np.repeat(offsets[:-1][chosen], sizes) + np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    moved = points.copy()
    moved[rows, 0] = np.clip(points[rows, 0], 0, np.repeat(widths[chosen], sizes))
    moved[rows, 1] = np.clip(points[rows, 1], 0, np.repeat(heights[chosen], sizes))
    return moved


def repair(points: Floats) -> Floats:
    """Return one polygon (n, 2) without repeated points, spikes and crossings, clockwise.

    Returns an empty array when no area remains, when less than _KEPT remains of a polygon that crosses itself, and for
    a polygon beyond MOST_POINTS or MOST_CROSSINGS. A long polygon without crossings keeps its spikes.
    """
    points = _spread_repeats(points)
    if len(points) > MOST_POINTS:
        points = _without_repeats(points)
        simple = len(points) >= 3 and shapely.LinearRing(points).is_simple
        return clockwise(points) if simple else np.zeros((0, 2))
    before = np.zeros((0, 2))
    while not np.array_equal(points, before):  # removing a crossing may leave a spike
        before = points
        points = _without_spikes(_without_repeats(points))
        if len(points) >= 3 and not shapely.LinearRing(points).is_simple:
            points = _without_crossing(points)
        if len(points) < 3:
            return np.zeros((0, 2))
    return clockwise(points)


def clockwise(points: Floats) -> Floats:
    """Reverse a polygon (n, 2) that is counter-clockwise, starting at the top left of its text where that is known.


    The two sides of a curve of 2k points are paired by distance, and the upper side comes first. A quad starts with its
    upper side, or keeps its first point when no side is near horizontal.
    """
    if signed_area(points) >= 0:
        return points
    if len(points) >= 6 and len(points) % 2 == 0:
        half = len(points) // 2
        back = points[::-1]
        kept = np.roll(back, 1, axis=0)  # same first point
        if _apart(kept) < _apart(back):  # the closer pairing shows which point starts a side
            return kept
        return np.roll(back, half, axis=0) if back[:half, 1].mean() > back[half:, 1].mean() else back
    back = np.concatenate((points[:1], points[:0:-1]))
    return _from_upper_side(back) if len(back) == 4 else back


def _from_upper_side(points: Floats) -> Floats:
    """Return a clockwise quad starting with its upper side, if its longer edges are near vertical or horizontal."""
    ahead = np.roll(points, -1, axis=0)
    edges = np.abs(ahead - points)
    first = int(np.argmax(np.linalg.norm(edges, axis=1))) % 2
    longer = edges[[first, first + 2]]
    if (longer.min(1) > UPRIGHT * longer.max(1)).any():
        return points
    level = first if longer[0, 0] > longer[0, 1] else 1 - first
    upper = min((level, level + 2), key=lambda edge: points[edge, 1] + ahead[edge, 1])
    return np.roll(points, -upper, axis=0)


def _apart(points: Floats) -> float:
    """Return the distance in pixels between the two sides of a curve of 2k points, summed over all k pairs."""
    half = len(points) // 2
    return float(np.hypot(*(points[:half] - points[half:][::-1]).T).sum())


def start_top_left(points: Floats) -> Floats:
    """Rotate the points of a polygon so that the one nearest to the top left comes first."""
    return np.roll(points, -int(np.argmin(points.sum(1))), axis=0)


def to_displayed(points: Floats, orientation: int, width: int, height: int) -> Floats:
    """Map points (n, 2) of a stored image (width, height) to the displayed image, for EXIF `orientation` 2 to 8."""
    x, y = _ORIENTED[orientation](points[:, 0], points[:, 1], width, height)
    return np.column_stack((x, y))


def replaced(points: Floats, offsets: Ints, new: Iterable[tuple[int, Floats]]) -> tuple[Floats, Ints]:
    """Return points and offsets with the polygons of `new`, (index, points), replaced."""
    table = dict(new)
    sizes = np.diff(offsets)
    for index, polygon in table.items():
        sizes[index] = len(polygon)
    result = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    kept = np.ones(len(offsets) - 1, bool)
    kept[list(table)] = False
    moved = np.empty((result[-1], 2))
    moved[np.repeat(kept, sizes)] = points[np.repeat(kept, np.diff(offsets))]
    for index, polygon in table.items():
        moved[result[index] : result[index + 1]] = polygon
    return moved, result


def signed_area(points: Floats) -> float:
    """Return the area in square pixels, positive when the points are clockwise on screen (y down)."""
    x, y = points[:, 0], points[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _spread_repeats(points: Floats) -> Floats:
    """Move repeated points of a curve of 2k >= 6 points halfway to the next point of their side. Removing them would
    break the pairing of the two sides. Other polygons are returned as they are."""
    half = len(points) // 2
    if len(points) < 6 or len(points) % 2 or signed_area(points) == 0:
        return points
    spread = points.copy()
    for side in (spread[:half], spread[half:]):
        for index in reversed(range(1, half)):
            if (side[index] == side[index - 1]).all():
                if index + 1 < half:
                    side[index] = (side[index] + side[index + 1]) / 2
                else:
                    side[index - 1] = (side[index - 2] + side[index - 1]) / 2
    for end, inner in ((half, half + 1), (-1, -2)):  # one side ends at the first point of the other
        if (spread[end] == spread[0 if end < 0 else half - 1]).all():
            spread[end] = (spread[end] + spread[inner]) / 2
    valid = len(_without_repeats(spread)) == len(spread) and shapely.LinearRing(spread).is_simple
    return spread if valid else points


def _without_repeats(points: Floats) -> Floats:
    return points[(points != np.roll(points, 1, axis=0)).any(1)]


def _without_spikes(points: Floats) -> Floats:
    while len(points) > 3:
        ahead, back = np.roll(points, -1, axis=0) - points, points - np.roll(points, 1, axis=0)
        length = np.linalg.norm(ahead, axis=1) * np.linalg.norm(back, axis=1)
        spikes: NDArray[np.intp] = np.flatnonzero((ahead * back).sum(1) < SPIKE_COS * length)
        if not len(spikes):
            break
        points = _without_repeats(np.delete(points, spikes[0], axis=0))
    return points


def _without_crossing(points: Floats) -> Floats:
    if len(points) == 4:  # a bow tie: sort the corners around their centre
        middle = points.mean(0)
        order = np.argsort(np.arctan2(points[:, 1] - middle[1], points[:, 0] - middle[0]))
        around = points[order]
        return start_top_left(around)
    if _crossings(points) > MOST_CROSSINGS:
        return np.zeros((0, 2))
    parts = shapely.get_parts(shapely.make_valid(shapely.Polygon(points)))
    areas = shapely.area(parts)
    if len(parts) and areas.max() >= _KEPT * areas.sum() > 0:
        return shapely.get_coordinates(shapely.get_exterior_ring(parts[int(areas.argmax())]))[:-1]
    half = len(points) // 2
    turned = np.concatenate((points[:half], points[half:][::-1]))
    if len(points) % 2 == 0 and shapely.LinearRing(turned).is_simple:  # both sides of a curve had the same direction
        return turned
    return np.zeros((0, 2))


def _crossings(points: Floats) -> int:
    """Count how often edges of a polygon cross each other; touching does not count."""
    x, y = points.T
    across, down = np.roll(x, -1) - x, np.roll(y, -1) - y
    # (n, n): on which side of edge i point j is
    side = np.sign(across[:, None] * (y - y[:, None]) - down[:, None] * (x - x[:, None]))
    parted = side * np.roll(side, -1, axis=1) < 0  # edge j crosses the line of edge i
    return int((parted & parted.T).sum()) // 2
