"""Polygon rules, the only module that decides which polygons are invalid: nothing else filters polygons.

All polygons are checked at once: numpy on the flat points, and shapely's vectorised predicates for polygons that are
not clearly convex. Coordinates are pixels, x right, y down, so a positive signed area is clockwise on screen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ocrctl.data.polygons.columns import Floats, Ints, by_size, columns
from ocrctl.data.polygons.findings import Findings

Bools = NDArray[np.bool_]

LARGEST = 1e7  # pixels; larger coordinates are errors of another kind
SMALLEST_AREA = 1.0  # square pixels
SMALLEST_HEIGHT = 3.0  # pixels; below it letters cannot be distinguished
SPIKE_COS = -0.9962  # cosine: the polygon turns back within 5 degrees
UPRIGHT = 0.5  # slope of a quad's edges up to which its top left is unambiguous
NARROWEST_CHARACTER = 0.1  # width in text heights; a narrower label belongs to another box
LONGEST_CHARACTER = 8.0  # width in text heights; letter-spaced signs are below it
_CHUNK = 1 << 14  # points per chunk: its columns fit in the processor's cache


def check_polygons(
    points: Floats,
    offsets: Ints,
    widths: Floats,
    heights: Floats,
    lengths: Ints | None = None,
    around: Floats | None = None,
) -> Findings:
    """Run the rules that check one polygon at a time.

    points (P, 2), offsets (N + 1,); widths and heights (N,) of each polygon's image in pixels, NaN where unknown;
    lengths (N,) of the texts in characters, 0 where there is none to compare with. `around` (4, N), if given, is filled
    with left, top, right and bottom of the box around each finite polygon with at least three points.
    """
    findings = Findings()
    sizes = np.diff(offsets)
    few = np.flatnonzero(sizes < 3)
    findings.add("too-few-points", few, sizes[few])
    for size, members in by_size(sizes):
        step = max(_CHUNK // size, 1)
        for start in range(0, len(members), step):
            ids = members[start : start + step]
            x, y = columns(points, offsets[ids], size)
            if not all(side.min() >= -LARGEST and side.max() <= LARGEST for side in (x, y)):  # or NaN
                with np.errstate(invalid="ignore"):
                    whole = ((np.abs(x) <= LARGEST) & (np.abs(y) <= LARGEST)).all(0)
                findings.add("not-finite", ids[~whole])
                x, y, ids = np.compress(whole, x, 1), np.compress(whole, y, 1), ids[whole]
            if size < 3 or not len(ids):
                continue
            for kind, part in _kinds(x, y):
                these, px, py = ids, x, y
                if part is not None:  # compressed, not indexed: each row of points stays contiguous
                    these, px, py = ids[part], np.compress(part, x, 1), np.compress(part, y, 1)
                group = kind(findings, these, px, py, around)
                group.check(widths[these], heights[these], None if lengths is None else lengths[these])
    findings.in_order()
    return findings


def _kinds(x: Floats, y: Floats) -> list[tuple[type[_Group], Bools | None]]:
    """Return the rule groups for N polygons with the same number of points, and their members; None: all."""
    if len(x) != 4:
        return [(_Outlines, None)]
    upright = (x[0] == x[3]) & (x[1] == x[2]) & (y[0] == y[1]) & (y[2] == y[3]) & (x[0] < x[1]) & (y[0] < y[2])
    if upright.all():
        return [(_Upright, None)]
    return [(_Upright, upright), (_Outlines, ~upright)] if upright.any() else [(_Outlines, None)]


class _Group(ABC):
    """N finite polygons of the same number of points, at least three; row j of `x` and `y` holds the j-th points."""

    def __init__(self, findings: Findings, ids: Ints, x: Floats, y: Floats, around: Floats | None) -> None:
        self.findings, self.ids, self.x, self.y, self.around = findings, ids, x, y, around
        self.size, self.count = x.shape

    @abstractmethod
    def check(self, widths: Floats, heights: Floats, lengths: Ints | None) -> None:
        """Run every rule."""

    def _bounds(
        self, left: Floats, top: Floats, right: Floats, bottom: Floats, widths: Floats, heights: Floats
    ) -> None:
        """Check boxes (N,) against the images."""
        if self.around is not None:
            first, last = self.ids[0], self.ids[-1] + 1
            target = slice(first, last) if last - first == self.count else self.ids
            for row, side in zip(self.around, (left, top, right, bottom), strict=True):
                row[target] = side
        beyond = np.maximum(np.maximum(-left, right - widths), np.maximum(-top, bottom - heights))
        if not (beyond < 0).all():  # or NaN
            outside = (right <= 0) | (left >= widths) | (bottom <= 0) | (top >= heights)
            self._add("outside", outside)
            self._add("out-of-bounds", (beyond > 0) & ~outside, beyond)

    def _strips(self, low: Floats, long: Floats, valid: Bools, lengths: Ints | None) -> None:
        """Check height and length (N,) of text strips against the length of their texts."""
        high = low >= SMALLEST_HEIGHT
        self._add("tiny", valid & ~high, low)
        if lengths is None:
            return
        unit = low * lengths
        wide = np.flatnonzero(long > LONGEST_CHARACTER * unit)
        narrow = np.flatnonzero(long < NARROWEST_CHARACTER * unit)
        for name, chosen, min_length, share in (
            ("box-too-large", wide, 1, LONGEST_CHARACTER),
            ("text-too-long", narrow, 3, 1.0),
        ):
            chosen = chosen[(lengths[chosen] >= min_length) & high[chosen] & valid[chosen]]
            self.findings.add(name, self.ids[chosen], long[chosen] / unit[chosen] / share)

    def _add(self, name: str, hit: Bools, values: NDArray[Any] | None = None) -> None:
        if hit.any():
            self.findings.add(name, self.ids[hit], None if values is None else values[hit])


class _Upright(_Group):
    """Upright rectangles, clockwise from the top left: they cannot cross themselves or have spikes."""

    def check(self, widths: Floats, heights: Floats, lengths: Ints | None) -> None:
        left, right, top, bottom = self.x[0], self.x[1], self.y[0], self.y[2]
        width, height = right - left, bottom - top
        area = width * height
        valid = area >= SMALLEST_AREA
        self._add("no-area", ~valid, area)
        self._bounds(left, top, right, bottom, widths, heights)
        self._strips(np.minimum(width, height), np.maximum(width, height), valid, lengths)


class _Outlines(_Group):
    """Polygons of any shape."""

    def check(self, widths: Floats, heights: Floats, lengths: Ints | None) -> None:
        x, y = self.x, self.y
        self.dx, self.dy = dx, dy = _next(x) - x, _next(y) - y
        left, right, top, bottom = x.min(0), x.max(0), y.min(0), y.max(0)
        area = (x * _next(y) - _next(x) * y).sum(0) / 2
        size = np.abs(area)
        flat = size < SMALLEST_AREA
        if flat.any():  # a bow tie also has a signed area of 0, but its hull has an area
            few = np.flatnonzero(flat)
            flat[few] = shapely.area(shapely.convex_hull(self._rings(few))) < SMALLEST_AREA
        self._add("no-area", flat, size)
        self._bounds(left, top, right, bottom, widths, heights)
        squares = dx * dx + dy * dy
        repeated = (squares == 0).sum(0)
        self._add("repeated-points", (repeated > 0) & ~flat, repeated)
        spiked, leftover = self._turns(squares)
        crossed = np.zeros(self.count, bool)
        crossed[leftover] = self._crossing(leftover)
        valid = ~(flat | crossed)
        self._add("self-intersecting", crossed & ~flat)
        self._add("spike", spiked & ~flat)
        self._add("counter-clockwise", (area < 0) & valid)
        if self.size == 4:
            self._first_corner(np.flatnonzero((area > 0) & valid), left, top)
        extent = np.sqrt(squares).sum(0) / 2  # half the perimeter: length plus height of a strip
        low = size / np.maximum(extent / 2 + np.sqrt(np.maximum(extent * extent / 4 - size, 0)), 1e-9)
        self._strips(low, extent - low, valid, lengths)

    def _turns(self, squares: Floats) -> tuple[Bools, Ints]:
        """Find polygons with a spike, and the indices of those that are not clearly convex."""
        before_x, before_y = _previous(self.dx), _previous(self.dy)
        cross = before_x * self.dy - before_y * self.dx
        dot = before_x * self.dx + before_y * self.dy
        spiked = np.asarray((dot < SPIKE_COS * np.sqrt(squares * _previous(squares))).any(0))
        if self.size > 4:  # turns in one direction mean convex for a quad only; a star may wind twice
            return spiked, np.arange(self.count)
        return spiked, np.flatnonzero((cross.min(0) < 0) & (cross.max(0) > 0) | spiked)

    def _crossing(self, chosen: Ints) -> Bools:
        if self.size == 4:
            return self._quads_crossing(chosen)
        return ~shapely.is_simple(self._rings(chosen)) if len(chosen) else np.zeros(0, bool)

    def _rings(self, chosen: Ints) -> NDArray[np.object_]:
        corners = np.stack((self.x[:, chosen].T, self.y[:, chosen].T), axis=-1)
        return np.asarray(shapely.linearrings(np.concatenate((corners, corners[:, :1]), axis=1)))

    def _quads_crossing(self, chosen: Ints) -> Bools:
        """Find quads whose opposite edges cross."""
        x, y = self.x[:, chosen], self.y[:, chosen]

        def side(a: int, b: int, c: int) -> Floats:
            return np.asarray((x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a]))

        def cross(a: int, b: int, c: int, d: int) -> Bools:
            return np.asarray((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0))

        return cross(0, 1, 2, 3) | cross(1, 2, 3, 0)

    def _first_corner(self, chosen: Ints, left: Floats, top: Floats) -> None:
        """Find near-upright quads whose first point is not the top left one."""
        corner = np.argmin((self.x - left) + (self.y - top), axis=0)[chosen]
        turned, corner = chosen[corner != 0], corner[corner != 0]
        dx, dy = np.abs(self.dx[:, turned]), np.abs(self.dy[:, turned])
        upright = (np.minimum(dx, dy) <= UPRIGHT * np.maximum(dx, dy)).all(0)
        self.findings.add("start-not-top-left", self.ids[turned[upright]], (4 - corner[upright]) % 4)


def _next(values: Floats) -> Floats:
    """Return for each point (k, N) the value of the next point of its polygon."""
    return np.concatenate((values[1:], values[:1]))


def _previous(values: Floats) -> Floats:
    return np.concatenate((values[-1:], values[:-1]))
