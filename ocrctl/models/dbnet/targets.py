"""Targets of DBNet and DB++: shrink map and threshold map.

Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", 2019 (https://arxiv.org/abs/1911.08947),
section "Label generation": the shrink map holds each text's kernel, the polygon shrunk by A (1 - r^2) / L, the
threshold map the ring between that kernel and the polygon expanded by as much, where the threshold falls from the
outline outwards and inwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.polygons.distance import Floats, Ints, Outlines, outlines, signed_distances
from ocrctl.data.polygons.page_words import PageWords

SHRINK_RATIO = 0.4
THRESHOLD_RANGE = (0.3, 0.7)
SMALLEST = 3.0  # pixels of text height; lower texts have no ring to learn from


def db_targets(
    points: Floats,
    offsets: Ints,
    ignore: NDArray[np.bool_],
    height: int,
    width: int,
    *,
    shrink_ratio: float = SHRINK_RATIO,
    smallest: float = SMALLEST,
) -> dict[str, NDArray[np.uint8] | NDArray[np.float32]]:
    """Compute the shrink and threshold maps (height, width) of one image.

    points (P, 2) pixels, offsets (N + 1,), ignore (N,). Returns `shrink` uint8 0/1, the kernels; `shrink_mask` uint8, 0
    over ignored regions: ignored texts, and those whose lower side is under `smallest` pixels; `border` float32,
    thresholds 0.3 to 0.7; `border_mask` uint8, 1 within the expanded polygons. Texts that overlap: the union of
    kernels, the highest threshold. Raises ValueError for polygons of fewer than three points or coordinates not finite.
    """
    texts = _measured(points, offsets, ignore, shrink_ratio, smallest)
    shapes, kernel = texts.shapes, texts.kernel
    shrink = np.zeros((height, width), np.uint8)
    care = shapes.care_mask(texts.skipped, height, width)
    lowest, highest = (np.float32(value) for value in THRESHOLD_RANGE)
    border = np.full((height, width), lowest, np.float32)
    for index, rows, columns, field in signed_distances(shapes, texts.kept, texts.reach, texts.unit, height, width):
        kernels, around = shrink[rows, columns], border[rows, columns]
        cv2.bitwise_or(kernels, (field >= kernel[index]).view(np.uint8), dst=kernels)
        np.subtract(highest, np.abs(field, out=field), out=field)
        cv2.max(around, field, dst=around)
    covered = border > lowest
    covered |= shrink.view(np.bool_)  # deeper inside than the reach
    return {"shrink": shrink, "shrink_mask": care, "border": border, "border_mask": covered.view(np.uint8)}


def page_targets(words: PageWords, height: int, width: int) -> dict[str, NDArray[np.uint8] | NDArray[np.float32]]:
    """Compute `db_targets` of the words of an image."""
    return db_targets(words.points, words.offsets, words.ignore, height, width)


@dataclass(frozen=True)
class _Texts:
    """Polygons (N,) of one image: those with targets, those ignored, and the levels of their distance fields."""

    shapes: Outlines
    kept: Ints
    skipped: Ints
    reach: Floats  # (N,) pixels
    unit: Floats  # (N,) pixels over which the threshold falls by 1
    kernel: NDArray[np.float32]  # (N,) units


def _measured(points: Floats, offsets: Ints, ignore: NDArray[np.bool_], shrink_ratio: float, smallest: float) -> _Texts:
    shapes = outlines(points, offsets)
    lowest, highest = (np.float32(value) for value in THRESHOLD_RANGE)
    reach = shapes.shrink_distance(shrink_ratio)
    skipped = np.asarray(ignore, np.bool_) | (shapes.lower_sides() < smallest)
    unit = reach / (highest - lowest)
    # A pixel belongs to the kernel if a part of it does: half a pixel, as when polygons are drawn on whole pixels.
    kernel = ((reach - 0.5) / np.maximum(unit, 1e-9)).astype(np.float32)
    return _Texts(shapes, np.flatnonzero(~skipped), np.flatnonzero(skipped), reach, unit, kernel)
