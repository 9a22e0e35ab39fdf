"""THE polygon rules: every other room asks here which polygons are bad, and nothing else filters polygons.

All polygons are judged at once: numpy over the flat points, and shapely's vectorised predicates for outlines that are
not plainly convex. Coordinates are pixels, x right, y down, so a positive signed area runs clockwise as seen.
"""

from __future__ import annotations

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
_CHUNK = 1 << 14  # polygons judged together: their columns stay in the processor's cache


def check_polygons(
    points: Floats, offsets: Ints, widths: Floats, heights: Floats, lengths: Ints | None = None
) -> Findings:
    """Rules that look at one polygon at a time.

    points (P, 2), offsets (N + 1,); widths and heights (N,) of each polygon's picture in pixels, NaN where unknown;
    lengths (N,) of the texts in characters, 0 where there is none to compare with.
    """
    findings = Findings()
    count = len(offsets) - 1
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        first, part = int(offsets[start]), slice(start, stop)
        text = lengths[part] if lengths is not None else None
        block, ends = points[first : offsets[stop]], offsets[start : stop + 1] - first
        _check_chunk(findings, start, block, ends, widths[part], heights[part], text)
    return findings


def _check_chunk(
    findings: Findings, base: int, points: Floats, offsets: Ints, widths: Floats, heights: Floats, lengths: Ints | None
) -> None:
    sizes = np.diff(offsets)
    whole = np.ones(len(sizes), bool)
    if sizes.min() < 3:
        few = sizes < 3
        findings.add("too-few-points", base + np.flatnonzero(few), sizes[few])
        whole &= ~few
    with np.errstate(invalid="ignore"):
        wild = ~(np.abs(points) <= LARGEST).all(1)  # true for NaN, too
    if wild.any():
        bad = np.zeros(len(sizes), bool)
        bad[np.repeat(np.arange(len(sizes)), sizes)[wild]] = True
        findings.add("not-finite", base + np.flatnonzero(bad))
        whole &= ~bad
    ids = base + np.flatnonzero(whole)
    if not len(ids):
        return
    if not whole.all():
        points = points[np.repeat(whole, sizes)]
        sizes, widths, heights = sizes[whole], widths[whole], heights[whole]
        lengths = lengths[whole] if lengths is not None else None
        offsets = np.concatenate(([0], np.cumsum(sizes)))
    _Chunk(findings, ids, points, offsets[:-1], sizes).judge(widths, heights, lengths)


class _Chunk:
    """Finite polygons of three points or more; `starts` (N,) is the row of each one's first point."""

    def __init__(self, findings: Findings, ids: Ints, points: Floats, starts: Ints, sizes: Ints) -> None:
        self.findings, self.ids, self.starts, self.sizes = findings, ids, starts, sizes
        self.count = len(sizes)
        self.same = int(sizes[0]) if sizes.min() == sizes.max() else 0  # number of points, where all have as many
        self.x, self.y = np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1])
        self.dx, self.dy = self._next(self.x) - self.x, self._next(self.y) - self.y

    def judge(self, widths: Floats, heights: Floats, lengths: Ints | None) -> None:
        """Run every rule."""
        x, y, dx, dy = self.x, self.y, self.dx, self.dy
        left, right, top, bottom = self._min(x), self._max(x), self._min(y), self._max(y)
        area = self._sum(x * self._next(y) - self._next(x) * y) / 2
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
        repeated = self._sum((squares == 0).astype(np.float64))
        self._add("repeated-points", (repeated > 0) & ~flat, repeated)
        spiked, leftover = self._turns(squares)
        crossed = np.zeros(self.count, bool)
        crossed[leftover] = self._crossing(leftover)
        self._add("self-intersecting", crossed & ~flat)
        self._add("spike", spiked & ~flat)
        self._add("counter-clockwise", (area < 0) & ~flat & ~crossed)
        self._first_corner((area > 0) & ~flat & ~crossed, left, top)
        extent = self._sum(np.sqrt(squares)) / 2  # half the way around: length plus height of a strip
        low = size / np.maximum(extent / 2 + np.sqrt(np.maximum(extent * extent / 4 - size, 0)), 1e-9)
        self._add("tiny", (low < SMALLEST_HEIGHT) & ~flat & ~crossed, low)
        if lengths is not None:
            width = (extent - low) / np.maximum(low * np.maximum(lengths, 1), 1e-9)  # of a character, in heights
            judged = (lengths > 0) & (low >= SMALLEST_HEIGHT) & ~crossed
            self._add("box-too-large", (width > LONGEST_CHARACTER) & judged, width / LONGEST_CHARACTER)
            self._add("text-too-long", (width < NARROWEST_CHARACTER) & (lengths > 2) & judged, width)

    def _turns(self, squares: Floats) -> tuple[NDArray[np.bool_], Ints]:
        """Which polygons have a spike, and the indices of those that are not plainly convex."""
        before_x, before_y = self._previous(self.dx), self._previous(self.dy)
        cross = before_x * self.dy - before_y * self.dx
        dot = before_x * self.dx + before_y * self.dy
        limit = SPIKE_COS * np.sqrt(squares * self._previous(squares))
        spiked = self._max((dot < limit).astype(np.float64)) > 0
        bent = (self._min(cross) < 0) & (self._max(cross) > 0)
        # All turns one way: convex for a quad; a star of five points and more may still wind twice.
        return spiked, np.flatnonzero(bent | (self.sizes > 4) | spiked)

    def _crossing(self, chosen: Ints) -> NDArray[np.bool_]:
        if not len(chosen):
            return np.zeros(0, bool)
        if self.same == 4:
            return self._quads_crossing(chosen)
        return ~shapely.is_simple(self._rings(chosen))

    def _rings(self, chosen: Ints) -> NDArray[np.object_]:
        if self.same:
            corners = np.stack((self.x, self.y), axis=-1).reshape(self.count, self.same, 2)[chosen]
            return np.asarray(shapely.linearrings(np.concatenate((corners, corners[:, :1]), axis=1)))
        sizes = self.sizes[chosen]
        rows = np.repeat(self.starts[chosen] - np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes)
        rows += np.arange(len(rows))
        first = self.starts[chosen]
        ends = np.cumsum(sizes)
        closed = np.insert(
            np.column_stack((self.x[rows], self.y[rows])), ends, np.column_stack((self.x[first], self.y[first])), axis=0
        )
        return np.asarray(shapely.linearrings(closed, indices=np.repeat(np.arange(len(chosen)), sizes + 1)))

    def _quads_crossing(self, chosen: Ints) -> NDArray[np.bool_]:
        """A quad crosses itself where two opposite edges do."""
        x, y = self.x.reshape(-1, 4)[chosen].T, self.y.reshape(-1, 4)[chosen].T

        def side(a: int, b: int, c: int) -> Floats:
            return np.asarray((x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a]))

        def cross(a: int, b: int, c: int, d: int) -> NDArray[np.bool_]:
            return np.asarray((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0))

        return cross(0, 1, 2, 3) | cross(1, 2, 3, 0)

    def _first_corner(self, chosen: NDArray[np.bool_], left: Floats, top: Floats) -> None:
        """Quads near upright whose first point is not the top left one."""
        quads = np.flatnonzero(chosen & (self.sizes == 4))
        if not len(quads):
            return
        rows = self.starts[quads][:, None] + np.arange(4)
        dx, dy = np.abs(self.dx[rows]), np.abs(self.dy[rows])
        upright = (np.minimum(dx, dy) <= UPRIGHT * np.maximum(dx, dy)).all(1)
        corner = np.argmin((self.x[rows] - left[quads][:, None]) + (self.y[rows] - top[quads][:, None]), axis=1)
        wrong = upright & (corner != 0)
        self.findings.add("start-not-top-left", self.ids[quads[wrong]], (4 - corner[wrong]) % 4)

    def _add(self, name: str, hit: NDArray[np.bool_], values: Floats | None = None) -> None:
        if hit.any():
            self.findings.add(name, self.ids[hit], None if values is None else values[hit])

    def _next(self, values: Floats) -> Floats:
        """Of each point, the value at the next one around its polygon."""
        if self.same:
            return np.roll(values.reshape(self.count, self.same), -1, axis=1).ravel()
        moved = np.roll(values, -1)
        moved[self.starts + self.sizes - 1] = values[self.starts]
        return moved

    def _previous(self, values: Floats) -> Floats:
        if self.same:
            return np.roll(values.reshape(self.count, self.same), 1, axis=1).ravel()
        moved = np.roll(values, 1)
        moved[self.starts] = values[self.starts + self.sizes - 1]
        return moved

    def _sum(self, values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values, self.starts))

    def _min(self, values: Floats) -> Floats:
        return np.asarray(np.minimum.reduceat(values, self.starts))

    def _max(self, values: Floats) -> Floats:
        return np.asarray(np.maximum.reduceat(values, self.starts))
