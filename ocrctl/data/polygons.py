"""THE polygon rules: every other room asks here which polygons are bad, and nothing else filters polygons.

All polygons are judged at once: numpy over the flat points, and shapely's vectorised predicates for outlines that are
not plainly convex. Coordinates are pixels, x right, y down, so a positive signed area runs clockwise as seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ocrctl.data.findings import Findings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LARGEST = 1e7  # pixels; beyond it a coordinate is an error of another kind
SMALLEST_AREA = 1.0  # square pixels
SMALLEST_HEIGHT = 3.0  # pixels; below it no letter can be told from another
SPIKE_COS = -0.9962  # an outline that turns back within 5 degrees
UPRIGHT = 0.5  # slope of a quad's first edges below which "top left" is beyond doubt
NARROWEST_CHARACTER = 0.1  # width in heights of the text; a label that needs less belongs to another box
LONGEST_CHARACTER = 8.0  # widths of the text's height; letter-spaced signs stay below
_CHUNK = 1 << 14  # points judged together: their columns stay in the processor's cache


def check_polygons(
    points: Floats, offsets: Ints, widths: Floats, heights: Floats, lengths: Ints | None = None
) -> Findings:
    """Rules that look at one polygon at a time.

    points (P, 2), offsets (N + 1,); widths and heights (N,) of each polygon's picture in pixels, NaN where unknown;
    lengths (N,) of the texts in characters, 0 where there is none to compare with.
    """
    findings = Findings()
    sizes = np.diff(offsets)
    few = np.flatnonzero(sizes < 3)
    findings.add("too-few-points", few, sizes[few])
    for size in np.unique(sizes[sizes > 0]).tolist():
        members = np.flatnonzero(sizes == size)
        step = max(_CHUNK // size, 1)
        for start in range(0, len(members), step):
            ids = members[start : start + step]
            x, y = _columns(points, offsets[ids], size)
            with np.errstate(invalid="ignore"):
                whole = ((np.abs(x) <= LARGEST) & (np.abs(y) <= LARGEST)).all(0)  # false for NaN, too
            if not whole.all():
                findings.add("not-finite", ids[~whole])
                x, y, ids = np.compress(whole, x, 1), np.compress(whole, y, 1), ids[whole]
            if size >= 3 and len(ids):
                _Group(findings, ids, x, y).judge(widths[ids], heights[ids], None if lengths is None else lengths[ids])
    findings.in_order()
    return findings


def boxes(points: Floats, offsets: Ints) -> Floats:
    """(4, N) left, top, right and bottom of the upright box around each polygon, NaN where it has no points."""
    sizes = np.diff(offsets)
    result = np.full((4, len(sizes)), np.nan)
    for size in np.unique(sizes[sizes > 0]).tolist():
        members = np.flatnonzero(sizes == size)
        x, y = _columns(points, offsets[members], size)
        box = np.array([x.min(0), y.min(0), x.max(0), y.max(0)])
        if len(members) == len(sizes):
            return box
        result[:, members] = box
    return result


def _columns(points: Floats, starts: Ints, size: int) -> tuple[Floats, Floats]:
    """x and y (size, N) of polygons of `size` points each, whose first points stand in rows `starts` (N,)."""
    if starts[-1] - starts[0] == size * (len(starts) - 1):  # one behind the other
        block = points[starts[0] : starts[-1] + size].reshape(-1, size, 2)
        return np.ascontiguousarray(block[:, :, 0].T), np.ascontiguousarray(block[:, :, 1].T)
    rows = starts + np.arange(size)[:, None]
    return points[:, 0][rows], points[:, 1][rows]


class _Group:
    """N finite polygons of as many points each, at least three; row j of `x` and `y` holds the j-th point of each."""

    def __init__(self, findings: Findings, ids: Ints, x: Floats, y: Floats) -> None:
        self.findings, self.ids, self.x, self.y = findings, ids, x, y
        self.size, self.count = x.shape
        self.dx, self.dy = _next(x) - x, _next(y) - y

    def judge(self, widths: Floats, heights: Floats, lengths: Ints | None) -> None:
        """Run every rule."""
        x, y, dx, dy = self.x, self.y, self.dx, self.dy
        left, right, top, bottom = x.min(0), x.max(0), y.min(0), y.max(0)
        area = (x * _next(y) - _next(x) * y).sum(0) / 2
        size = np.abs(area)
        flat = size < SMALLEST_AREA
        if flat.any():  # a bow tie has none of its own either, but spans one
            few = np.flatnonzero(flat)
            flat[few] = shapely.area(shapely.convex_hull(self._rings(few))) < SMALLEST_AREA
        self._add("no-area", flat, size)
        beyond = np.maximum(np.maximum(-left, right - widths), np.maximum(-top, bottom - heights))
        outside = (right <= 0) | (left >= widths) | (bottom <= 0) | (top >= heights)  # false where NaN
        self._add("outside", outside)
        self._add("out-of-bounds", (beyond > 0) & ~outside, beyond)
        squares = dx * dx + dy * dy
        repeated = (squares == 0).sum(0)
        self._add("repeated-points", (repeated > 0) & ~flat, repeated)
        spiked, leftover = self._turns(squares)
        crossed = np.zeros(self.count, bool)
        crossed[leftover] = self._crossing(leftover)
        self._add("self-intersecting", crossed & ~flat)
        self._add("spike", spiked & ~flat)
        self._add("counter-clockwise", (area < 0) & ~flat & ~crossed)
        if self.size == 4:
            self._first_corner(np.flatnonzero((area > 0) & ~flat & ~crossed), left, top)
        extent = np.sqrt(squares).sum(0) / 2  # half the way around: length plus height of a strip
        low = size / np.maximum(extent / 2 + np.sqrt(np.maximum(extent * extent / 4 - size, 0)), 1e-9)
        self._add("tiny", (low < SMALLEST_HEIGHT) & ~flat & ~crossed, low)
        if lengths is not None:
            width = (extent - low) / np.maximum(low * np.maximum(lengths, 1), 1e-9)  # of a character, in heights
            judged = (lengths > 0) & (low >= SMALLEST_HEIGHT) & ~crossed
            self._add("box-too-large", (width > LONGEST_CHARACTER) & judged, width / LONGEST_CHARACTER)
            self._add("text-too-long", (width < NARROWEST_CHARACTER) & (lengths > 2) & judged, width)

    def _turns(self, squares: Floats) -> tuple[NDArray[np.bool_], Ints]:
        """Which polygons have a spike, and the indices of those that are not plainly convex."""
        before_x, before_y = _previous(self.dx), _previous(self.dy)
        cross = before_x * self.dy - before_y * self.dx
        dot = before_x * self.dx + before_y * self.dy
        spiked = np.asarray((dot < SPIKE_COS * np.sqrt(squares * _previous(squares))).any(0))
        if self.size > 4:  # all turns one way: convex for a quad; a star of five points and more may still wind twice
            return spiked, np.arange(self.count)
        return spiked, np.flatnonzero((cross.min(0) < 0) & (cross.max(0) > 0) | spiked)

    def _crossing(self, chosen: Ints) -> NDArray[np.bool_]:
        if self.size == 4:
            return self._quads_crossing(chosen)
        return ~shapely.is_simple(self._rings(chosen)) if len(chosen) else np.zeros(0, bool)

    def _rings(self, chosen: Ints) -> NDArray[np.object_]:
        corners = np.stack((self.x[:, chosen].T, self.y[:, chosen].T), axis=-1)
        return np.asarray(shapely.linearrings(np.concatenate((corners, corners[:, :1]), axis=1)))

    def _quads_crossing(self, chosen: Ints) -> NDArray[np.bool_]:
        """A quad crosses itself where two opposite edges do."""
        x, y = self.x[:, chosen], self.y[:, chosen]

        def side(a: int, b: int, c: int) -> Floats:
            return np.asarray((x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a]))

        def cross(a: int, b: int, c: int, d: int) -> NDArray[np.bool_]:
            return np.asarray((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0))

        return cross(0, 1, 2, 3) | cross(1, 2, 3, 0)

    def _first_corner(self, chosen: Ints, left: Floats, top: Floats) -> None:
        """Quads near upright whose first point is not the top left one."""
        corner = np.argmin((self.x - left) + (self.y - top), axis=0)[chosen]
        turned, corner = chosen[corner != 0], corner[corner != 0]
        dx, dy = np.abs(self.dx[:, turned]), np.abs(self.dy[:, turned])
        upright = (np.minimum(dx, dy) <= UPRIGHT * np.maximum(dx, dy)).all(0)
        self.findings.add("start-not-top-left", self.ids[turned[upright]], (4 - corner[upright]) % 4)

    def _add(self, name: str, hit: NDArray[np.bool_], values: NDArray[Any] | None = None) -> None:
        if hit.any():
            self.findings.add(name, self.ids[hit], None if values is None else values[hit])


def _next(values: Floats) -> Floats:
    """Of each point (k, N), the value at the next one around its polygon."""
    return np.concatenate((values[1:], values[:1]))


def _previous(values: Floats) -> Floats:
    return np.concatenate((values[-1:], values[:-1]))
