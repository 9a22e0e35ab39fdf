"""Polygon rules that compare polygons of the same image: duplicates and overlaps."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from ocrctl.data.polygons.columns import Floats, Ints, boxes
from ocrctl.data.polygons.findings import Findings

OVERLAP = 0.7  # intersection over union above which two instances are considered the same text
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)
_TOGETHER = 1 << 16  # pairs whose boxes are compared at once
_BOX_OVERLAP = 0.4  # intersection over union of the boxes; pairs below it are skipped
MOST_PARTNERS = 8  # maximum overlap candidates per polygon; the less likely ones are skipped


def check_pairs(
    findings: Findings,
    points: Floats,
    offsets: Ints,
    image_id: NDArray[np.int32],
    texts: list[str],
    around: Floats | None = None,
) -> None:
    """Add duplicates and overlaps to `findings`. Polygons with errors that leave no area are skipped.

    points (P, 2), offsets (N + 1,), image_id (N,) ascending; around (4, N), if known, the boxes of all valid polygons,
    as `boxes` returns them. Boxes are sorted by their top within each image, and each is compared with those that start
    before it ends, one step down the list at a time, all images at once.
    """
    broken = findings.of("too-few-points", "not-finite", "no-area")
    usable = np.ones(len(offsets) - 1, bool)
    usable[broken] = False
    chosen = np.flatnonzero(usable)
    if len(chosen) < 2:
        return
    around = boxes(points, offsets) if around is None else around
    top, bottom = around[1][chosen], around[3][chosen]
    below = image_id[chosen] * (bottom.max() - top.min() + 1)  # images stacked in one column
    top += below
    order = np.argsort(top, kind="stable")
    chosen, top, bottom = chosen[order], top[order], (bottom + below)[order]
    level = top[1:] == top[:-1]
    alike = _alike(around, image_id, np.sort(chosen[np.append(level, False) | np.append(False, level)]))
    repeats = _duplicates(points, offsets, image_id, alike)
    if len(repeats):
        later = repeats[:, 0]
        notes = ["" if texts[a] == texts[b] else f", with another text ({texts[b]!r})" for a, b in repeats.tolist()]
        findings.add("duplicate", later, None, notes, repeats[:, 1])
        usable[later] = False
        left = usable[chosen]
        chosen, top, bottom = chosen[left], top[left], bottom[left]
    pairs = _near_pairs(around, chosen, top, bottom)
    if len(pairs):
        shares = _shares(points, offsets, pairs)
        heavy = shares > OVERLAP
        findings.add("overlap", pairs[heavy].max(1), shares[heavy], None, pairs[heavy].min(1))


def _alike(around: Floats, image_id: NDArray[np.int32], chosen: Ints) -> Ints:
    """Return those of the `chosen` polygons (ascending) that have the same box as another one of their image."""
    key = image_id[chosen].astype(np.uint64)
    for side, factor in zip(around, _FACTORS, strict=True):
        bits = _bits(side[chosen])
        bits *= factor
        key ^= bits
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    return np.sort(chosen[order[np.append(same, False) | np.append(False, same)]]) if len(chosen) else chosen


def _duplicates(points: Floats, offsets: Ints, image_id: NDArray[np.int32], chosen: Ints) -> Ints:
    """Return (K, 2): each of the `chosen` polygons (ascending) that repeats an earlier one of its image point for
    point, and that earlier one."""
    if not len(chosen):
        return np.zeros((0, 2), np.int64)
    sizes = np.diff(offsets)[chosen]
    starts = np.cumsum(sizes) - sizes
    position = np.arange(sizes.sum()) - np.repeat(starts, sizes)
    x, y = _bits(points[np.repeat(offsets[:-1][chosen], sizes) + position]).T
    mixed = (x * _FACTORS[0]) ^ (y * _FACTORS[1])
    mixed = (mixed ^ (mixed >> np.uint64(29))) * (2 * position.astype(np.uint64) + _FACTORS[2])
    key = np.add.reduceat(mixed ^ (mixed >> np.uint64(32)), starts)
    key = (key ^ (key >> np.uint64(31))) * _FACTORS[3] + image_id[chosen].astype(np.uint64)
    order = chosen[np.argsort(key, kind="stable")]  # stable: earlier ones first
    key = np.sort(key)
    new = np.append(True, key[1:] != key[:-1])
    first = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
    return np.column_stack((order[~new], first[~new]))


def _bits(values: Floats) -> NDArray[np.uint64]:
    return (values + 0.0).view(np.uint64)  # + 0.0: no negative zero


def _near_pairs(around: Floats, chosen: Ints, top: Floats, bottom: Floats) -> Ints:
    """Return pairs (K, 2) of the `chosen` polygons of one image whose boxes overlap enough. They are in the order of
    `top`; `top` and `bottom` are coordinates in the column of all images."""
    found, waiting = [], []
    active = np.flatnonzero(top[1:] < bottom[:-1])
    step, count = 1, 0
    while len(active):
        waiting.append((active, step))
        count += len(active)
        step += 1
        active = active[: np.searchsorted(active, len(chosen) - step)]
        active = active[top[active + step] < bottom[active]]
        if count > _TOGETHER or not len(active):
            one = np.concatenate([upper for upper, _ in waiting])
            other = np.concatenate([upper + by for upper, by in waiting])
            found.append(_sharing(around, chosen[one], chosen[other]))
            waiting, count = [], 0
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def _sharing(around: Floats, one: Ints, other: Ints) -> Ints:
    """Return those of K pairs whose boxes overlap enough."""
    left, top, right, bottom = around
    across = np.minimum(right[one], right[other]) - np.maximum(left[one], left[other])
    beside = across > 0
    one, other, across = one[beside], other[beside], across[beside]
    shared = across * (np.minimum(bottom[one], bottom[other]) - np.maximum(top[one], top[other]))
    areas = [(right[box] - left[box]) * (bottom[box] - top[box]) for box in (one, other)]
    near = shared > _BOX_OVERLAP * (areas[0] + areas[1] - shared)
    return np.column_stack((one[near], other[near]))


def _shares(points: Floats, offsets: Ints, pairs: Ints) -> Floats:
    """Return the intersection over union of each pair; 0 for a self-intersecting polygon, where the areas alone rule
    out more than OVERLAP, and beyond MOST_PARTNERS."""
    named = np.zeros(len(offsets) - 1, bool)
    named[pairs] = True
    members, position = np.flatnonzero(named), np.cumsum(named) - 1  # as np.unique, without sorting millions of pairs
    sizes = np.diff(offsets)[members]
    ends = np.cumsum(sizes)
    rows = np.repeat(offsets[:-1][members] - (ends - sizes), sizes) + np.arange(ends[-1])
    closed = np.insert(points[rows], ends, points[offsets[:-1][members]], axis=0)
    rings = shapely.linearrings(closed, indices=np.repeat(np.arange(len(members)), sizes + 1))
    polygons = shapely.polygons(rings)
    valid, areas = shapely.is_valid(polygons), shapely.area(polygons)
    first, second = position[pairs].T
    kept = np.flatnonzero(valid[first] & valid[second])
    one, other = areas[first[kept]], areas[second[kept]]
    kept = kept[np.minimum(one, other) > OVERLAP * np.maximum(one, other)]  # at most the smaller one is shared
    kept = kept[_likeliest(first[kept], second[kept], areas)]
    first, second = first[kept], second[kept]
    common = shapely.area(shapely.intersection(polygons[first], polygons[second]))
    shares = np.zeros(len(pairs))
    shares[kept] = common / np.maximum(areas[first] + areas[second] - common, 1e-9)
    return shares


def _likeliest(first: Ints, second: Ints, areas: Floats) -> Ints:
    """Return the indices of the pairs to measure: at most MOST_PARTNERS per polygon, those most similar in area.

    The later polygon of a pair gets the finding, so its partners are limited.
    """
    later = np.maximum(first, second)
    if not len(later) or np.bincount(later).max() <= MOST_PARTNERS:
        return np.arange(len(later))
    order = np.lexsort((np.abs(areas[first] - areas[second]), later))
    starts = np.flatnonzero(np.append(True, np.diff(later[order]) > 0))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.sort(order[rank < MOST_PARTNERS])
