"""Place the characters of a word as CLEval does, and find the polygons around them (Baek et al. 2020, section 3.2).

Quads are treated as in the published code: centres from the exact corners, areas and insides from corners truncated to
whole pixels, a point on the left or upper side is inside. Polygons keep their fractions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from ocrctl.metrics.instances import Instances
from ocrctl.metrics.iou import areas, even_odd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_UNKNOWN = 10  # characters assumed in a word without a text
_ROWS = 1 << 20  # points tested at a time


@dataclass(frozen=True)
class Shapes:
    """The polygons of one side, as used for areas and insides."""

    points: Floats  # (P, 2)
    offsets: Ints  # (N + 1,)
    area: Floats  # (N,) square pixels
    aspect: Floats  # (N,) length along the text over height across it
    polygons: bool  # not all are quads


def shapes(side: Instances, polygons: bool) -> Shapes:
    """Return the polygons by which CLEval measures `side`."""
    points, offsets = side.points, side.offsets
    if polygons:
        area = shapely.area(even_odd(points, offsets, np.arange(len(side))))
        return Shapes(points, offsets, area, aspects(points, offsets), True)
    whole = np.trunc(points)
    return Shapes(whole, offsets, areas(whole, offsets), aspects(points, offsets), False)


def aspects(points: Floats, offsets: Ints) -> Floats:
    """Compute (N,): the mean of the first and the second half of each outline over the mean of the two sides between
    them.

    Outlines run along the text and back below it, as quads from the top left clockwise do; 1 without three points.
    """
    found = np.ones(len(offsets) - 1)
    for chosen, corners in _by_size(points, offsets):
        size = corners.shape[1]
        step = np.roll(corners, -1, axis=1) - corners
        side = np.sqrt(step[..., 0] * step[..., 0] + step[..., 1] * step[..., 1])
        along = side[:, : size // 2 - 1].sum(1) + side[:, size // 2 : size - 1].sum(1)
        across = side[:, size // 2 - 1] + side[:, size - 1]
        found[chosen] = (along / 2 + 1e-5) / (across / 2 + 1e-5)
    return found


def _by_size(points: Floats, offsets: Ints) -> Iterator[tuple[Ints, Floats]]:
    """Polygons (K,) of as many corners, and these (K, S, 2); a triangle's last one twice, so that it has two sides."""
    sizes = np.diff(offsets)
    for size in np.unique(sizes[sizes > 2]).tolist():
        chosen = np.flatnonzero(sizes == size)
        corners = points[offsets[:-1][chosen][:, None] + np.arange(size)]
        yield chosen, corners if size > 3 else corners[:, [0, 1, 2, 2]]


def unknown_lengths(aspect: Floats) -> Ints:
    """Return the characters (N,) assumed in a word whose text is unknown."""
    longer = np.maximum(aspect, 1 / aspect)
    return np.minimum(np.rint(0.5 + longer), MAX_UNKNOWN).astype(np.int64)


def false_lengths(aspect: Floats) -> Ints:
    """Return the characters (N,) that a false detection counts for."""
    return np.minimum(np.rint(0.5 + 1 / (1e-5 + aspect)), MAX_UNKNOWN).astype(np.int64)


def centres(side: Instances, aspect: Floats, lengths: Ints, upright: float, polygons: bool) -> Floats:
    """Compute the assumed centres (C, 2) of all characters, `lengths` (N,) of each polygon, in order."""
    owner = np.repeat(np.arange(len(side)), lengths)
    position = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    if polygons:
        return _along(side, lengths, owner, position)
    corners = side.points.reshape(-1, 4, 2)
    turned = ~(aspect >= upright)  # upright text: its lines run down
    corners = np.where(turned[:, None, None], np.roll(corners, 1, axis=1), corners)
    start = (corners[:, 0] + corners[:, 3]) / 2
    end = (corners[:, 1] + corners[:, 2]) / 2
    unit = (end - start) / np.maximum(lengths, 1)[:, None]
    return start[owner] + unit[owner] / 2 + unit[owner] * position[:, None]


def _along(side: Instances, lengths: Ints, owner: Ints, position: Ints) -> Floats:
    """Centres between the two long sides of outlines, each section of which is cut into as many parts as characters."""
    spots = np.full((len(owner), 2), np.nan)  # without an outline a character lies in nothing
    row_of = np.full(len(side), -1)
    for chosen, corners in _by_size(side.points, side.offsets):
        row_of[chosen] = np.arange(len(chosen))
        mine = np.flatnonzero(np.isin(owner, chosen))
        row, length, nth = row_of[owner[mine]], lengths[owner[mine]], position[mine]
        half = corners.shape[1] // 2
        lines = corners[:, :half], corners[:, half:][:, ::-1]
        parts = [_part(line, half, row, length, (nth + more) * (half - 1)) for line in lines for more in (0, 1)]
        spots[mine] = (parts[0] + parts[1] + parts[2] + parts[3]) / 4
    return spots


def _part(line: Floats, corners: int, row: Ints, length: Ints, step: Ints) -> Floats:
    """(R, 2) point `step` of line[row], with `length` steps between its first `corners`; at the end its last one."""
    section, within = np.divmod(step, length)
    last = section >= corners - 1
    start = line[row, np.where(last, line.shape[1] - 1, section)]
    end = line[row, np.minimum(section + 1, line.shape[1] - 1)]
    between = np.trunc(start + (end - start) / length[:, None] * within[:, None])  # whole pixels between corners
    return np.where((within == 0)[:, None], start, between)


def inside(spots: Floats, which: Ints, found: Shapes) -> NDArray[np.bool_]:
    """Test (R,) whether spot r (R, 2) lies in polygon which[r] (R,)."""
    out = np.zeros(len(which), np.bool_)
    if found.polygons:
        members, at = np.unique(which, return_inverse=True)
        polygons = even_odd(found.points, found.offsets, members)
        shapely.prepare(polygons)
        out[:] = shapely.contains_xy(polygons[at], spots[:, 0], spots[:, 1])
        return out
    corners = found.points.reshape(-1, 4, 2)
    for start in range(0, len(which), _ROWS):
        part = slice(start, start + _ROWS)
        x, y = spots[part].T
        quad = corners[which[part]]
        odd = np.zeros(len(x), np.bool_)
        for here in range(4):
            x1, y1 = quad[:, here].T
            x2, y2 = quad[:, here - 1].T
            spanned = (y1 <= y) != (y2 <= y)
            with np.errstate(invalid="ignore", divide="ignore"):
                odd ^= spanned & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
        out[part] = odd
    return out
