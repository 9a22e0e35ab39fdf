"""Measure labelled regions: row ends, means, rectangles and outlines."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.models.outlines.detections import Detections
from ocrctl.models.outlines.rectangles import Floats, Rectangles

Labels = NDArray[np.int32]


def row_ends(labels: Labels, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the first and last cell of each row of each region, which have the same convex hull as all its cells.

    labels (h, w), 0 background. Returns points (2 R, 2) x, y, region by region, and offsets (count + 1,) of 1 to count.
    """
    rows, columns = np.nonzero(labels)
    numbers = labels[rows, columns]
    order = np.argsort(numbers, kind="stable")  # by region, then by row, then by column
    rows, columns, numbers = rows[order], columns[order], numbers[order]
    fresh = np.ones(len(rows), bool)
    fresh[1:] = (np.diff(rows) != 0) | (np.diff(numbers) != 0)
    first = np.flatnonzero(fresh)
    last = np.append(first[1:], len(rows)) - 1 if len(first) else first
    points = np.stack((columns[first], rows[first], columns[last], rows[last]), -1).reshape(-1, 2).astype(np.float32)
    counts = np.bincount(numbers[first], minlength=count + 1)[1 : count + 1] * 2
    return points, np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def means(labels: Labels, values: NDArray[np.float32], count: int) -> Floats:
    """Compute the mean (count,) of values (h, w) over each of the regions 1 to count; 0 for one without cells."""
    flat = labels.ravel()
    total = np.bincount(flat, values.ravel(), count + 1)[1 : count + 1]
    return np.asarray(total / np.maximum(np.bincount(flat, minlength=count + 1)[1 : count + 1], 1))


def rectangles(labels: Labels, count: int) -> Rectangles:
    """Compute the minimum-area rectangle of each of the regions 1 to count; none may be empty."""
    points, offsets = row_ends(labels, count)
    return Rectangles.from_points([points[offsets[i] : offsets[i + 1]] for i in range(count)])


def outlines(labels: Labels, scores: Floats, grow: NDArray[np.int64]) -> Detections:
    """Trace the outer contour of each of the regions 1 to len(scores), dilated by `grow` cells; of a region in several
    parts, that of the largest. None may be empty."""
    height, width = labels.shape
    points, offsets = row_ends(labels, len(scores))
    low = np.minimum.reduceat(points, offsets[:-1]).astype(np.int64) - grow[:, None] - 1
    high = np.maximum.reduceat(points, offsets[:-1]).astype(np.int64) + grow[:, None] + 2
    low, high = np.maximum(low, 0), np.minimum(high, (width, height))
    found = []
    for number, ((left, top), (right, bottom), wider) in enumerate(
        zip(low.tolist(), high.tolist(), grow.tolist(), strict=True), start=1
    ):
        part = (labels[top:bottom, left:right] == number).view(np.uint8)
        if wider:
            part = cv2.dilate(part, np.ones((2 * wider + 1, 2 * wider + 1), np.uint8)).astype(np.uint8)
        contours = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        edge = max(contours, key=cv2.contourArea)
        simple = cv2.approxPolyDP(edge, 0.002 * cv2.arcLength(edge, True), True)[:, 0]
        found.append(simple[::-1] + np.array((left, top)))  # cv2 runs counter-clockwise
    whole = [index for index, outline in enumerate(found) if len(outline) > 2]
    return Detections.from_polygons([found[index] for index in whole], scores[whole])
