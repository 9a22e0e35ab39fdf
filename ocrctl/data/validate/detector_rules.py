"""Rules for a detector at its training size: text smaller than its cells, kernels that vanish or merge."""

from __future__ import annotations

import numpy as np
import shapely

from ocrctl.config.model_spec import ModelSpec
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.polygons.columns import Floats, Ints
from ocrctl.data.polygons.distance import outlines
from ocrctl.data.polygons.findings import Findings

BROKEN = ("too-few-points", "not-finite", "no-area", "self-intersecting", "outside")


THINNEST = 1.0  # cells; a thinner kernel may miss all sample points of the map
GAP = 1.0  # cells between two kernels; closer kernels merge


def check_kernels(
    findings: Findings, data: Annotations, spec: ModelSpec, size: tuple[int, int], widths: Floats, heights: Floats
) -> None:
    """Add findings for instances that detector `spec` cannot learn at `size`, (height, width) in pixels.

    widths and heights (N,) of each polygon's image, NaN where unknown: these are skipped, and so are ignored polygons
    and polygons with errors in `findings`. An image is assumed to be scaled to the area of the training size, the
    centre of the augmentation's range.
    """
    grid = spec.detector
    if grid is None:  # a recogniser
        return
    checked = ~data.ignore & np.isfinite(widths) & np.isfinite(heights)
    checked[findings.of(*BROKEN)] = False
    chosen = np.flatnonzero(checked)
    if not len(chosen):
        return
    points, offsets = _taken(data.points, data.offsets, chosen)
    scale = np.sqrt(size[0] * size[1] / (widths[chosen] * heights[chosen]))
    shapes = outlines(points, offsets)
    low = shapes.lower_sides() * scale
    note = f"{spec.name} at {size[1]}x{size[0]}"
    small = low < grid.finest_stride
    findings.add(
        "below-stride", chosen[small], low[small], [f"{note} has cells of {grid.finest_stride:g}"] * small.sum()
    )
    if grid.shrink_ratio is None:
        return
    away = shapes.shrink_distance(grid.shrink_ratio)
    thick = (low - 2 * away * scale) / grid.map_stride
    thin = thick < THINNEST
    findings.add("kernel-vanishes", chosen[thin], thick[thin], [note] * thin.sum())
    pairs, gaps = _near_kernels(
        points, offsets, away, data.image_id[chosen].astype(np.int64), GAP * grid.map_stride / scale
    )
    if len(pairs):
        gaps *= scale[pairs[:, 0]] / grid.map_stride
        order = np.argsort(gaps, kind="stable")
        later, first = np.unique(pairs[order].max(1), return_index=True)
        earlier = chosen[pairs[order].min(1)[first]]
        findings.add("kernels-merge", chosen[later], gaps[order][first], [note] * len(later), earlier)


def _taken(points: Floats, offsets: Ints, chosen: Ints) -> tuple[Floats, Ints]:
    """Return points and offsets of the polygons `chosen`."""
    sizes = np.diff(offsets)[chosen]
    ends = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    rows = np.repeat(offsets[:-1][chosen] - ends[:-1], sizes) + np.arange(ends[-1])
    return points[rows], ends


def _near_kernels(points: Floats, offsets: Ints, away: Floats, image_id: Ints, gap: Floats) -> tuple[Ints, Floats]:
    """Return pairs (K, 2) of polygons of one image whose kernels are closer than `gap` (N,) pixels, and how close."""
    starts = offsets[:-1]
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    # Each image in a strip of its own, so that one tree serves all images.
    strip = image_id * (high[:, 0].max() - low[:, 0].min() + 2 * gap.max() + 1)
    left, right = low[:, 0] - gap / 2 + strip, high[:, 0] + gap / 2 + strip
    boxes = shapely.box(left, low[:, 1] - gap / 2, right, high[:, 1] + gap / 2)
    one, two = shapely.STRtree(boxes).query(boxes)
    pairs = np.column_stack((one, two))[one < two]
    if not len(pairs):
        return pairs, np.zeros(0)
    used, inverse = np.unique(pairs, return_inverse=True)
    corners, ends = _taken(points, offsets, used)
    rings = shapely.linearrings(corners, indices=np.repeat(np.arange(len(used)), np.diff(ends)))
    kernels = shapely.buffer(shapely.polygons(rings), -away[used], join_style="mitre")
    first, second = inverse.reshape(-1, 2).T
    gaps = shapely.distance(kernels[first], kernels[second])  # NaN where a kernel is empty
    with np.errstate(invalid="ignore"):
        near = gaps < gap[pairs[:, 0]]
    return pairs[near], gaps[near]
