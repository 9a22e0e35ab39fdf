"""Targets of PAN: which text each cell belongs to, and the kernels that tell texts apart.

Wang et al., "Efficient and Accurate Arbitrary-Shaped Text Detection with Pixel Aggregation Network", 2019
(https://arxiv.org/abs/1908.05900). Its kernels are those of its forerunner PSENet, polygons shrunk by
A (1 - r^2) / L; the paper takes r = 0.5 to 0.7 by data set, the smaller where texts lie close.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.targets.distance import Floats, Ints, outlines, signed_distances

STRIDE = 4  # pixels of the input for a cell of the maps
SHRINK_RATIO = 0.5
SMALLEST = 3.0  # pixels of the input: height below which a text is not judged


def pan_targets(
    points: Floats,
    offsets: Ints,
    ignore: NDArray[np.bool_],
    height: int,
    width: int,
    *,
    shrink_ratio: float = SHRINK_RATIO,
    smallest: float = SMALLEST,
) -> dict[str, NDArray[np.int32] | NDArray[np.uint8]]:
    """Maps at a quarter of height and width (rounded up) of one picture.

    points (P, 2) pixels of the input, offsets (N + 1,), ignore (N,). Returns `instance` int32, 0 background, k the k-th
    polygon that is kept, the smaller one where two lie on each other; `kernel` uint8 0/1, never two texts' touching;
    `mask` uint8, 0 over what is not judged: ignored texts and those lower than `smallest` pixels. Raises ValueError
    for polygons of fewer than three points or coordinates not finite.
    """
    shapes = outlines(np.asarray(points, np.float64) / STRIDE, offsets)
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    instance, cores = np.zeros((2, rows, columns), np.int32)
    judged = np.ones((rows, columns), np.uint8)
    skipped = np.asarray(ignore, np.bool_) | (shapes.lower_sides() * STRIDE < smallest)
    for index in np.flatnonzero(skipped).tolist():
        cv2.fillPoly(judged, [np.rint(shapes.polygon(index)).astype(np.int32)], 0)
    kept = np.flatnonzero(~skipped)
    numbers = np.cumsum(~skipped)
    largest_first = kept[np.argsort(-np.abs(shapes.areas[kept]), kind="stable")]
    away = shapes.shrink_distance(shrink_ratio)
    cells = np.ones(len(shapes))
    for index, down, across, field in signed_distances(
        shapes, largest_first, np.maximum(away, 1), cells, rows, columns
    ):
        number, texts = int(numbers[index]), instance[down, across]
        # A cell belongs to a text when some of it does, but only what lies inside takes a cell from another text.
        texts[(field >= 0) | ((field >= -0.5) & (texts == 0))] = number
        # The middle line of a text too low for a kernel of its own still is one.
        cores[down, across][field >= min(away[index] - 0.5, float(field.max()))] = number
    cores[cores != instance] = 0
    return {"instance": instance, "kernel": _apart(cores).astype(np.uint8), "mask": judged}


def _apart(cores: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Where numbers (h, w) stand, less one of any two cells that touch, be it by a corner, with different ones."""
    kept = cores > 0
    for one, two in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ):
        a, b = cores[one], cores[two]
        kept[one] &= (a == b) | (b == 0) | ~kept[two]
    return kept
