"""Polygon rules that compare the polygons of one picture: duplicates and heavy overlap."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from ocrctl.data.findings import Findings
from ocrctl.data.polygons import Floats, Ints

OVERLAP = 0.7  # intersection over union from which two instances are taken for the same text
_BOX_OVERLAP = 0.4  # of the boxes around them: pairs below it are not looked at


def check_pairs(
    findings: Findings, points: Floats, offsets: Ints, image_id: NDArray[np.int32], texts: list[str]
) -> None:
    """Add duplicates and overlaps to `findings`; polygons that it already calls broken are left out.

    points (P, 2), offsets (N + 1,), image_id (N,) ascending. Boxes are sorted by their top within each picture and each
    is compared with those that start before it ends, one step down the list at a time, all pictures at once.
    """
    broken = findings.of("too-few-points", "not-finite", "no-area")
    usable = np.ones(len(offsets) - 1, bool)
    usable[broken] = False
    repeats = _duplicates(points, offsets, image_id, usable)
    if len(repeats):
        later = repeats[:, 0]
        notes = ["" if texts[a] == texts[b] else f", with another text ({texts[b]!r})" for a, b in repeats.tolist()]
        findings.add("duplicate", later, None, notes)
        usable[later] = False
    chosen = np.flatnonzero(usable)
    if len(chosen) < 2:
        return
    pairs = _near_pairs(points, offsets, image_id, chosen)
    if len(pairs):
        shares = _shares(points, offsets, pairs)
        heavy = shares > OVERLAP
        findings.add("overlap", pairs[heavy].max(1), shares[heavy])


def _duplicates(points: Floats, offsets: Ints, image_id: NDArray[np.int32], usable: NDArray[np.bool_]) -> Ints:
    """(K, 2): each polygon that repeats an earlier one of its picture point for point, and that one."""
    sizes = np.diff(offsets)
    if not usable.any():
        return np.zeros((0, 2), np.int64)
    place = np.arange(len(points), dtype=np.uint64) - np.repeat(offsets[:-1], sizes).astype(np.uint64)
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(points + 0.0).view(np.uint64)  # + 0.0: no negative zero
        mixed = (bits[:, 0] * np.uint64(0x9E3779B97F4A7C15)) ^ (bits[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F))
        mixed = (mixed ^ (mixed >> np.uint64(29))) * (2 * place + np.uint64(0xBF58476D1CE4E5B9))
        mixed ^= mixed >> np.uint64(32)
        filled = sizes > 0
        key = np.zeros(len(sizes), np.uint64)
        key[filled] = np.add.reduceat(mixed, offsets[:-1][filled]) if filled.any() else 0
        key = (key ^ (key >> np.uint64(31))) * np.uint64(0x94D049BB133111EB) + image_id.astype(np.uint64)
    chosen = np.flatnonzero(usable)
    order = chosen[np.argsort(key[chosen], kind="stable")]  # stable: earlier ones first
    new = np.concatenate(([True], key[order][1:] != key[order][:-1]))
    first = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    return np.column_stack((order[~new], first[~new]))


def _near_pairs(points: Floats, offsets: Ints, image_id: NDArray[np.int32], chosen: Ints) -> Ints:
    starts = offsets[:-1]
    filled = np.flatnonzero(np.diff(offsets) > 0)
    low, high = np.full((len(starts), 2), np.nan), np.full((len(starts), 2), np.nan)
    low[filled] = np.minimum.reduceat(points, starts[filled])
    high[filled] = np.maximum.reduceat(points, starts[filled])
    order = chosen[np.lexsort((low[chosen, 1], image_id[chosen]))]
    image, left, top = image_id[order], low[order, 0], low[order, 1]
    right, bottom = high[order, 0], high[order, 1]
    area = (right - left) * (bottom - top)
    found = []
    active = np.arange(len(order))
    step = 0
    while len(active):
        step += 1
        active = active[active + step < len(order)]
        other = active + step
        still = (image[other] == image[active]) & (top[other] < bottom[active])
        active, other = active[still], other[still]
        across = np.minimum(right[active], right[other]) - np.maximum(left[active], left[other])
        down = np.minimum(bottom[active], bottom[other]) - top[other]
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        near = shared > _BOX_OVERLAP * (area[active] + area[other] - shared)
        if near.any():
            found.append(np.column_stack((order[active[near]], order[other[near]])))
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def _shares(points: Floats, offsets: Ints, pairs: Ints) -> Floats:
    """Intersection over union of each pair; 0 where an outline crosses itself."""
    members, place = np.unique(pairs, return_inverse=True)
    sizes = np.diff(offsets)[members]
    ends = np.cumsum(sizes)
    rows = np.repeat(offsets[:-1][members] - (ends - sizes), sizes) + np.arange(ends[-1])
    closed = np.insert(points[rows], ends, points[offsets[:-1][members]], axis=0)
    rings = shapely.linearrings(closed, indices=np.repeat(np.arange(len(members)), sizes + 1))
    polygons = shapely.polygons(rings)
    valid = shapely.is_valid(polygons)
    first, second = place.reshape(pairs.shape).T
    shares = np.zeros(len(pairs))
    good = valid[first] & valid[second]
    areas = shapely.area(polygons)
    common = shapely.area(shapely.intersection(polygons[first[good]], polygons[second[good]]))
    shares[good] = common / np.maximum(areas[first[good]] + areas[second[good]] - common, 1e-9)
    return shares
