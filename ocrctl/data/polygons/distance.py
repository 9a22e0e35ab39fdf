"""Compute the signed distance from each pixel to each polygon, in a small window around it.

All target maps are level sets of this field. The Vatti offset of a polygon by d, with round joins, is the set of points
whose signed distance is at least -d; shrinking by d keeps those of at least d. So no polygon is offset, clipped or
rasterised: nothing is rounded to whole pixels, and no polygon breaks into parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.polygons.distance_fields import edges_field, quad_fields

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Map = NDArray[np.float32]


@dataclass(frozen=True)
class Outlines:
    """N polygons of one image with their measurements, in pixels and square pixels."""

    points: Floats  # (P, 2) x, y; pixel (row y, column x) is sampled at (x, y), as in the published implementations
    offsets: Ints  # (N + 1,)
    areas: Floats  # (N,) signed: positive when clockwise on screen
    perimeters: Floats  # (N,)
    low: Floats  # (N, 2) minimum x and y
    high: Floats  # (N, 2) maximum x and y
    convex: Bools  # (N,) convex quads; False for all other polygons

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def polygon(self, index: int) -> Floats:
        """Return the points (n, 2) of polygon `index`."""
        return self.points[self.offsets[index] : self.offsets[index + 1]]

    def quads(self, chosen: Ints) -> Floats:
        """Return the corners (len(chosen), 4, 2) of quads."""
        return self.points[self.offsets[:-1][chosen][:, None] + np.arange(4)]

    def shrink_distance(self, ratio: float) -> Floats:
        """Return (N,) A (1 - ratio^2) / L, the offset of Liao et al. 2019, equation 10; 0 without an area."""
        return np.asarray(np.abs(self.areas) * (1 - ratio * ratio) / np.maximum(self.perimeters, 1e-9))

    def lower_sides(self) -> Floats:
        """Return (N,) pixels: the height of a strip with the polygon's area and perimeter."""
        area, half = np.abs(self.areas), self.perimeters / 2
        return np.asarray(2 * area / np.maximum(half + np.sqrt(np.maximum(half * half - 4 * area, 0)), 1e-9))

    def care_mask(self, ignored: Ints, height: int, width: int) -> NDArray[np.uint8]:
        """Draw a map (height, width): 0 within the polygons `ignored`, 1 elsewhere."""
        mask = np.ones((height, width), np.uint8)
        for index in ignored.tolist():
            cv2.fillPoly(mask, [np.rint(self.polygon(index)).astype(np.int32)], 0)
        return mask


def outlines(points: Floats, offsets: Ints) -> Outlines:
    """Measure polygons. Raises ValueError when one has fewer than three points or a coordinate is not finite."""
    points = np.asarray(points, np.float64).reshape(-1, 2)
    offsets = np.asarray(offsets, np.int64)
    if len(offsets) == 1:
        none = np.zeros(0)
        return Outlines(points[:0], offsets, none, none, np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, bool))
    sizes = np.diff(offsets)
    if sizes.min() < 3:
        raise ValueError(f"polygon {int(sizes.argmin())} has {sizes.min()} points, 3 are needed")
    if not np.isfinite(points).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(points))} coordinates are not finite")
    starts = offsets[:-1]
    after, before = np.arange(1, len(points) + 1), np.arange(-1, len(points) - 1)
    after[offsets[1:] - 1], before[starts] = starts, offsets[1:] - 1
    dx, dy = (points[after] - points).T
    cross = points[:, 0] * dy - dx * points[:, 1]
    turns = dx[before] * dy - dy[before] * dx
    lengths = np.hypot(dx, dy)
    bent = np.minimum.reduceat(turns, starts) * np.maximum.reduceat(turns, starts) < 0
    return Outlines(
        points,
        offsets,
        np.add.reduceat(cross, starts) / 2,
        np.add.reduceat(lengths, starts),
        np.minimum.reduceat(points, starts),
        np.maximum.reduceat(points, starts),
        (sizes == 4) & ~bent & (np.minimum.reduceat(lengths, starts) > 1e-6),
    )


def windows(low: Floats, high: Floats, height: int, width: int) -> tuple[Ints, Ints]:
    """Return the first pixels (N, 2) of the boxes low to high (N, 2), and those after the last, within the image."""
    frame = np.array((width, height))
    first = np.minimum(np.maximum(np.floor(low), 0), frame).astype(np.int64)  # np.clip takes three times as long
    last = np.minimum(np.maximum(np.floor(high + 1), 0), frame).astype(np.int64)
    return first, last


def signed_distances(
    shapes: Outlines, chosen: Ints, reach: Floats, unit: Floats, height: int, width: int
) -> Iterator[tuple[int, slice, slice, Map]]:
    """Yield for each polygon in `chosen`: its index, rows and columns of its window, and the distances there.

    reach (N,) and unit (N,) pixels, positive. The window is the polygon's box extended by the reach, within the image;
    a polygon with an empty window is skipped. Distances are in units, positive inside, exact up to the reach and at
    least the reach beyond it. The caller may modify the array.
    """
    reach, unit = reach[chosen], unit[chosen]
    low, high = windows(shapes.low[chosen] - reach[:, None], shapes.high[chosen] + reach[:, None], height, width)
    visible = (high > low).all(1)
    if not visible.all():
        chosen, reach, unit, low, high = chosen[visible], reach[visible], unit[visible], low[visible], high[visible]
    convex = shapes.convex[chosen]
    quads = np.flatnonzero(convex)
    corners, sides = shapes.quads(chosen[quads]), np.sign(shapes.areas[chosen[quads]])
    fields = quad_fields(corners, sides, reach[quads], unit[quads], low[quads], high[quads])
    boxes = np.concatenate((low, high), 1).tolist()
    for row, (index, box) in enumerate(zip(chosen.tolist(), boxes, strict=True)):
        left, top, right, bottom = box
        field = next(fields) if convex[row] else edges_field(shapes.polygon(index), reach[row], unit[row], box)
        yield index, slice(top, bottom), slice(left, right), field
