"""Boxes of CRAFT from the character and link maps.

Baek et al., "Character Region Awareness for Text Detection", 2019 (https://arxiv.org/abs/1904.01941), section 3.3:
characters and links are binarised and joined, connected parts become words. How far a part is widened to reach from the
blobs' cores to the words' edges is from the authors' code. Of their thresholds one is another here: parts of words are
what lies above 0.5, not 0.4, where ideal maps of close words run together and small words come out too large.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.models.outlines.detections import NO_DETECTIONS, Detections, Map, check_map
from ocrctl.models.outlines.rectangles import Floats, Rectangles
from ocrctl.models.outlines.regions import outlines, row_ends

SQUARE = 0.1  # ratio of sides nearer to 1 than this: an upright box, as a turned one of so few cells means nothing
_RIGHT_BELOW = np.array(
    ((0, 0), (1, 0), (1, 1), (0, 1))
)  # which side of a cell each corner of a square around it is on


def craft_boxes(
    region: Map,
    affinity: Map,
    *,
    threshold: float = 0.7,
    link_threshold: float = 0.4,
    low_text: float = 0.5,
    min_area: int = 10,
    max_candidates: int = 1000,
    polygons: bool = False,
) -> Detections:
    """Compute boxes in cells of the maps, from the top down.

    region and affinity (h, w), about 0 to 1. Cells above `low_text` or linked above `link_threshold` are joined; a part
    of `min_area` cells (of more than `max_candidates` the largest) whose highest region value, its score, is at least
    `threshold` becomes a box. Boxes are cut to the map. Raises ValueError for values that are not finite, or maps that
    do not fit.
    """
    region, affinity = check_map(region), check_map(affinity)
    if region.shape != affinity.shape:
        raise ValueError(f"maps of {region.shape} and {affinity.shape} cells do not fit")
    text = region > low_text
    joined = (text | (affinity > link_threshold)).view(np.uint8)
    count, found, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=4, ltype=cv2.CV_32S)
    parts = np.asarray(found, np.int32)
    highest = np.full(count, -np.inf, np.float32)
    np.maximum.at(highest, parts[text], region[text])
    width, height, area = np.asarray(stats, np.int64)[:, 2:5].T
    keep = (area >= min_area) & (highest >= threshold)
    keep[0] = False
    if keep.sum() > max_candidates:
        keep[np.argsort(np.where(keep, -area, 1), kind="stable")[max_candidates:]] = False
    if not keep.any():
        return NO_DETECTIONS
    table = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    labels = np.where(text, table[parts], 0)  # links join, but do not count as text
    # Thin parts by more than round ones: the square root of how much of its box a part fills, by the shorter side.
    width, height, area = width[keep], height[keep], area[keep]
    grow = (2 * np.sqrt(area * np.minimum(width, height) / (width * height))).astype(np.int64)
    scores = np.clip(highest[keep], 0, 1).astype(np.float64)
    if polygons:
        return outlines(labels, scores, grow // 2)
    return Detections.from_quads(_boxes(labels, grow), scores)


def _boxes(labels: NDArray[np.int32], grow: NDArray[np.int64]) -> Floats:
    """Compute boxes (N, 4, 2) around each region, dilated by a square of `grow` + 1 (N,) cells a side, as the authors'
    code does.

    cv2.dilate puts the anchor of a square of an even side behind its middle: an odd `grow` adds one cell more to the
    right and below than to the left and above. What encloses a dilated region encloses the corners of a square around
    each of its cells.
    """
    points, offsets = row_ends(labels, len(grow))
    frame = np.subtract(labels.shape[::-1], 1)
    before, after = -(grow // 2), (grow + 1) // 2
    corners = before[:, None, None] + (after - before)[:, None, None] * _RIGHT_BELOW  # (N, 4, 2)
    wide = points[:, None] + np.repeat(corners, np.diff(offsets), axis=0)
    wide = np.clip(wide, 0, frame).reshape(-1, 2).astype(np.float32)
    groups = [wide[4 * offsets[i] : 4 * offsets[i + 1]] for i in range(len(grow))]
    found = Rectangles.from_points(groups)
    quads = np.clip(found.corners(), 0, frame)
    longer, shorter = found.sizes.max(1), found.sizes.min(1)
    for index in np.flatnonzero(longer <= (1 + SQUARE) * shorter):
        (left, top), (right, bottom) = groups[index].min(0), groups[index].max(0)
        quads[index] = (left, top), (right, top), (right, bottom), (left, bottom)
    return quads
