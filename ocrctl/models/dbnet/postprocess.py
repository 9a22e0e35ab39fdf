"""Boxes of DBNet and DB++ from the probability map.

Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", 2019 (https://arxiv.org/abs/1911.08947),
section "Inference": binarise, take regions, grow each by D = A u / L. The map holds kernels, texts shrunk by a known
rule, and growing by a fixed u undoes that rule for one ratio of sides only: 1.45 for a square, 2.25 for four to one,
5.25 for a long line. A trained map is wider than its kernels, which is why 1.5 serves in practice; `unclip=None` solves
the rule for each region instead.
"""

from __future__ import annotations

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from ocrctl.models.outlines.detections import NO_DETECTIONS, Detections, Map, check_map
from ocrctl.models.outlines.rectangles import Floats, Rectangles

SIMPLER = 0.002  # of an outline's length; by how much a polygon may leave its region's edge
Contour = NDArray[np.integer | np.floating]  # (n, 1, 2), as cv2 types it


def db_boxes(
    probability: Map,
    *,
    threshold: float = 0.3,
    box_threshold: float = 0.6,
    unclip: float | None = 1.5,
    shrink_ratio: float = 0.4,
    min_size: float = 3.0,
    max_candidates: int = 1000,
    whole_pixels: bool = False,
    polygons: bool = False,
) -> Detections:
    """Compute boxes from a map (H, W) of probabilities 0 to 1, from the top down.

    A region above `threshold` becomes a box when its shorter side is at least `min_size` pixels and the mean within it
    at least `box_threshold`, its score. Of more than `max_candidates` regions the largest are taken. `unclip` None
    undoes the shrinking by `shrink_ratio` exactly. `polygons`: outlines of any form instead of rectangles.
    `whole_pixels`: rectangles as in PaddleOCR and rapidocr, whose corners are truncated before they are expanded and
    rounded after, half a pixel to the upper left on average; without effect on polygons. Boxes are clipped to the map.
    Raises ValueError when the map holds values that are not finite, or is empty.
    """
    probability = check_map(probability)
    bitmap = (probability > threshold).view(np.uint8)
    contours = cv2.findContours(bitmap, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
    # Fewer than three points are a line of no width. A hole's edge runs the other way round, and is no text;
    # retrieving the tree from OpenCV instead takes half a minute on noise.
    kept = [one for one in contours if len(one) > 2 and cv2.contourArea(one, True) < 0]
    rectangles = Rectangles.from_points(kept)
    low = rectangles.sizes.min(1, initial=np.inf)
    chosen = np.flatnonzero(low >= min_size)
    if len(chosen) > max_candidates:
        largest = np.argsort(-rectangles.sizes[chosen].prod(1), kind="stable")[:max_candidates]
        chosen = chosen[np.sort(largest)]
    chosen = chosen[np.argsort([kept[index][0, 0, 1] for index in chosen], kind="stable")]
    if polygons:
        return _outlines(probability, [kept[i] for i in chosen], box_threshold, unclip, shrink_ratio, min_size)
    rectangles = rectangles[chosen]
    corners = np.clip(rectangles.corners(), 0, np.subtract(probability.shape[::-1], 1))
    scores = _scores(probability, np.rint(corners).astype(np.int32))
    sure = scores >= box_threshold
    rectangles, scores = rectangles[sure], scores[sure]
    area, length = rectangles.sizes.prod(1), 2 * rectangles.sizes.sum(1)
    away = _distance(area, length, unclip, shrink_ratio)
    rectangles = (
        Rectangles.from_expanded_quads(np.trunc(rectangles.corners()), away)
        if whole_pixels
        else rectangles.expanded(away)
    )
    large = rectangles.sizes.min(1, initial=np.inf) >= min_size + 2
    quads = rectangles[large].corners()
    quads = np.clip(np.rint(quads) if whole_pixels else quads, 0, probability.shape[::-1])
    return Detections.from_quads(quads, scores[large])


def _distance(area: Floats, length: Floats, unclip: float | None, ratio: float) -> Floats:
    """Compute the distance (N,) in pixels by which to expand regions of `area` and `length` (N,) of outline by."""
    if unclip is not None:
        return np.asarray(area * unclip / np.maximum(length, 1e-9))
    # With corners kept, growing by D gives area A + L D + 4 D^2 and outline L + 8 D; D is what shrinking that would
    # have taken: D (L + 8 D) = (1 - r^2) (A + L D + 4 D^2).
    taken = 1 - ratio * ratio
    first, second = 8 - 4 * taken, length * (1 - taken)
    return np.asarray((np.sqrt(second * second + 4 * first * taken * area) - second) / (2 * first))


def _scores(probability: Map, quads: NDArray[np.int32]) -> Floats:
    """Compute the mean (N,) within each convex quad (N, 4, 2), edges included."""
    low, high = quads.min(1), np.minimum(quads.max(1) + 1, probability.shape[::-1])
    boxes = np.concatenate((low, high), 1).tolist()
    scores = [0.0] * len(quads)
    for index, (outline, (left, top, right, bottom)) in enumerate(zip(quads - low[:, None], boxes, strict=True)):
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillConvexPoly(mask, outline, 1)
        scores[index] = cv2.mean(probability[top:bottom, left:right], mask)[0]
    return np.array(scores)


def _outlines(
    probability: Map,
    contours: list[Contour],
    box_threshold: float,
    unclip: float | None,
    ratio: float,
    min_size: float,
) -> Detections:
    height, width = probability.shape
    scores = np.zeros(len(contours))
    for index, contour in enumerate(contours):
        left, top, across, down = cv2.boundingRect(contour)
        mask = np.zeros((down, across), np.uint8)
        cv2.fillPoly(mask, [contour - (left, top)], 1)
        scores[index] = cv2.mean(probability[top : top + down, left : left + across], mask)[0]
    sure = np.flatnonzero(scores >= box_threshold)
    simple = [cv2.approxPolyDP(contours[i], SIMPLER * cv2.arcLength(contours[i], True), True)[:, 0] for i in sure]
    solid = [index for index, points in enumerate(simple) if len(points) > 2]
    if not solid:
        return NO_DETECTIONS
    shapes = np.array([shapely.Polygon(simple[index]) for index in solid])
    away = _distance(shapely.area(shapes), shapely.length(shapes), unclip, ratio)
    grown = shapely.buffer(shapes, away, quad_segs=4)
    grown = shapely.simplify(grown, np.maximum(away / 16, 0.25))
    rings = shapely.get_exterior_ring(grown)  # of what is none, as of two parts that only touched, None
    points = [shapely.get_coordinates(ring)[:-1] for ring in rings]
    whole = [
        index
        for index, outline in enumerate(points)
        if len(outline) > 2 and min(cv2.minAreaRect(outline.astype(np.float32))[1]) >= min_size + 2
    ]
    clockwise = [_clockwise(points[index]) for index in whole]
    found = [np.clip(outline, 0, (width, height)) for outline in clockwise]
    return Detections.from_polygons(found, scores[sure][solid][whole])


def _clockwise(outline: Floats) -> Floats:
    x, y = outline[:, 0], outline[:, 1]
    return outline if np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) > 0 else outline[::-1]
