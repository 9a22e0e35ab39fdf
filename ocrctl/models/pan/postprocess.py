"""Boxes of PAN: kernels grow over the text around them with a similar embedding.

Wang et al., "Efficient and Accurate Arbitrary-Shaped Text Detection with Pixel Aggregation Network", 2019
(https://arxiv.org/abs/1908.05900), section 3.4. Growth is breadth first: a step takes all cells next to those taken in
the step before, of all kernels together.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.models.outlines.detections import NO_DETECTIONS, Detections, Map, check_map
from ocrctl.models.outlines.regions import Labels, means, outlines, rectangles


def pan_boxes(
    text: Map,
    kernel: Map,
    embedding: Map,
    *,
    threshold: float = 0.5,
    kernel_threshold: float = 0.5,
    distance: float = 6.0,
    box_threshold: float = 0.85,
    min_kernel: int = 3,
    min_area: int = 16,
    max_candidates: int = 1000,
    polygons: bool = False,
) -> Detections:
    """Compute boxes in cells of the maps, from the top down.

    text and kernel (h, w) probabilities 0 to 1, embedding (D, h, w). A kernel of `min_kernel` cells or more (of more
    than `max_candidates` the largest) takes each cell of text that touches it and whose embedding lies nearer than
    `distance` to its own mean. What covers `min_area` cells and has a mean text probability, its score, of
    `box_threshold` becomes a box. Raises ValueError for values that are not finite, or maps that do not fit.
    """
    text, kernel, embedding = check_map(text), check_map(kernel), check_map(embedding, 3)
    if text.shape != kernel.shape or text.shape != embedding.shape[1:]:
        raise ValueError(f"maps of {text.shape}, {kernel.shape} and {embedding.shape[1:]} cells do not fit")
    wanted = text > threshold
    seeds = (wanted & (kernel > kernel_threshold)).view(np.uint8)
    count, parts = cv2.connectedComponents(seeds, connectivity=4, ltype=cv2.CV_32S)
    sizes = np.bincount(parts.ravel(), minlength=count)[1:]
    labels, count = _kept(np.asarray(parts, np.int32), sizes >= min_kernel, sizes, max_candidates)
    if not count:
        return NO_DETECTIONS
    labels = grown(labels, wanted, embedding, distance)
    scores = means(labels, text, count)
    large = np.bincount(labels.ravel(), minlength=count + 1)[1:] >= min_area
    keep = large & (scores >= box_threshold)
    labels, count = _kept(labels, keep, scores, count)
    scores = scores[keep]
    if not count:
        return NO_DETECTIONS
    if polygons:
        return outlines(labels, scores, np.zeros(count, np.int64))
    return Detections.from_quads(rectangles(labels, count).corners(), scores)


def grown(labels: Labels, wanted: NDArray[np.bool_], embedding: Map, distance: float) -> Labels:
    """Grow labels (h, w) over `wanted` (h, w); the kernels stay unchanged."""
    height, width = labels.shape
    stride = width + 2  # a border of background cells, so that edges need no checks
    owner = np.pad(labels, 1).ravel()
    free = np.pad(wanted & (labels == 0), 1).ravel()
    numbers = owner[owner > 0]
    flat = np.pad(embedding, ((0, 0), (1, 1), (1, 1))).reshape(len(embedding), -1).T.copy()  # (cells, D)
    cells = np.maximum(np.bincount(numbers), 1)[:, None]
    seeds = flat[owner > 0]
    middle = np.stack([np.bincount(numbers, column) for column in seeds.T], -1) / cells
    turn = np.empty(len(owner), np.int64)
    front = np.flatnonzero(owner)
    while len(front):
        reached = (front[:, None] + (-stride, -1, 1, stride)).ravel()
        by = np.repeat(owner[front], 4)
        open_ = free[reached]
        reached, by = reached[open_], by[open_]
        near = np.square(flat[reached] - middle[by]).sum(1) < distance * distance
        reached, by = reached[near], by[near]
        # Where two arrive at once the first in line stays: written backwards, so that it is written last.
        line = np.arange(len(reached))
        turn[reached[::-1]] = line[::-1]
        first = turn[reached] == line
        front = reached[first]
        owner[front] = by[first]
        free[front] = False
    return owner.reshape(height + 2, stride)[1:-1, 1:-1]


def _kept(
    labels: Labels, keep: NDArray[np.bool_], worth: NDArray[np.integer | np.floating], most: int
) -> tuple[Labels, int]:
    """Keep only the regions `keep` (N,) of labels, at most `most` of them, by `worth`, renumbered in their order."""
    if keep.sum() > most:
        keep = keep.copy()
        keep[np.argsort(np.where(keep, -worth, np.inf), kind="stable")[most:]] = False
    table = np.concatenate(([0], np.where(keep, np.cumsum(keep), 0))).astype(np.int32)
    return table[labels], int(keep.sum())
