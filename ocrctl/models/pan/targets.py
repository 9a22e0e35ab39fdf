"""Targets of PAN: the text of each cell, and the kernels that separate texts.

Wang et al., "Efficient and Accurate Arbitrary-Shaped Text Detection with Pixel Aggregation Network", 2019
(https://arxiv.org/abs/1908.05900). Its kernels are those of PSENet, polygons shrunk by A (1 - r^2) / L;
the paper uses r = 0.5 to 0.7 by dataset, the smaller values where texts lie close together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.polygons.distance import Floats, Ints, Outlines, outlines, signed_distances
from ocrctl.data.polygons.page_words import PageWords

STRIDE = 4  # pixels of the input for a cell of the maps
SHRINK_RATIO = 0.5
SMALLEST = 3.0  # pixels of the input: height below which a text is ignored
MARGIN = 0.5  # cells beyond its outline that belong to a text where no other text is


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
    """Compute the maps of one image, at a quarter of height and width (rounded up).

    points (P, 2) pixels of the input, offsets (N + 1,), ignore (N,). Returns `instance` int32, 0 background, k the k-th
    polygon that is kept, the smaller one where two lie on each other; `kernel` uint8 0/1, never two texts' touching;
    `mask` uint8, 0 over ignored regions: ignored texts and those lower than `smallest` pixels, where no other text
    lies. Raises ValueError for polygons of fewer than three points or coordinates not finite.
    """
    texts = _measured(points, offsets, ignore, shrink_ratio, smallest)
    shapes = texts.shapes
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    instance, cores = np.zeros((2, rows, columns), np.int32)
    care = shapes.care_mask(texts.skipped, rows, columns)
    for index, down, across, field in signed_distances(
        shapes, texts.largest_first, texts.reach, texts.unit, rows, columns
    ):
        number, cells = int(texts.numbers[index]), instance[down, across]
        # A cell belongs to a text if a part of it does, but only cells inside it replace those of another text.
        cells[(field >= 0) | ((field >= -MARGIN) & (cells == 0))] = number
        # A text too low for a kernel has its centre line as one.
        cores[down, across][field >= min(texts.kernel[index], field.max())] = number
    cores[cores != instance] = 0
    # An ignored mark between two words must not mask their ends, or their kernels could merge below it.
    care[instance > 0] = 1
    return {"instance": instance, "kernel": apart(cores).astype(np.uint8), "mask": care}


def page_targets(words: PageWords, height: int, width: int) -> dict[str, NDArray[np.int32] | NDArray[np.uint8]]:
    """Compute `pan_targets` of the words of an image."""
    return pan_targets(words.points, words.offsets, words.ignore, height, width)


@dataclass(frozen=True)
class _Texts:
    """Polygons (N,) of one image in cells: those with targets, largest first, and those ignored."""

    shapes: Outlines
    largest_first: Ints
    skipped: Ints
    numbers: Ints  # (N,) of those with targets, from 1
    reach: Floats  # (N,)
    unit: Floats  # (N,) 1
    kernel: NDArray[np.float32]  # (N,)


def _measured(points: Floats, offsets: Ints, ignore: NDArray[np.bool_], shrink_ratio: float, smallest: float) -> _Texts:
    shapes = outlines(np.asarray(points, np.float64) / STRIDE, offsets)
    skipped = np.asarray(ignore, np.bool_) | (shapes.lower_sides() * STRIDE < smallest)
    kept = np.flatnonzero(~skipped)
    largest_first = kept[np.argsort(-np.abs(shapes.areas[kept]), kind="stable")]
    away = shapes.shrink_distance(shrink_ratio)
    return _Texts(
        shapes, largest_first, np.flatnonzero(skipped), np.cumsum(~skipped),
        np.maximum(away, 1), np.ones(len(shapes)), (away - 0.5).astype(np.float32),
    )  # fmt: skip


def apart(cores: Any) -> Any:
    """Return where `cores` (..., h, w) is above 0, without one of any two cells with different numbers that touch, also
    by a corner. An array gives an array of bool, a tensor a tensor."""
    kept = cores > 0
    for one, two in (
        (np.s_[..., :-1], np.s_[..., 1:]),
        (np.s_[..., :-1, :], np.s_[..., 1:, :]),
        (np.s_[..., :-1, :-1], np.s_[..., 1:, 1:]),
        (np.s_[..., :-1, 1:], np.s_[..., 1:, :-1]),
    ):
        a, b = cores[one], cores[two]
        kept[one] &= (a == b) | (b == 0) | ~kept[two]
    return kept
