"""The order in which the outlines of a page are read: lines from top to bottom, each from left to right.

Lines follow the slope that most outlines have. Columns are not told apart: a line runs across the page.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrctl.models.outlines.detections import Detections

SAME_LINE = 0.5  # of the lower of two outlines: how far the middles of two neighbours may be apart
BESIDE = 0.3  # of the narrower of two outlines: how much neighbours may overlap horizontally


@dataclass
class _Line:
    """Outlines side by side; `middle` and `height` of the last one, so that a line may bend."""

    members: list[int]
    middle: float
    height: float


def reading_lines(found: Detections) -> list[list[int]]:
    """Return the indices of all outlines of a page, line by line."""
    if not len(found):
        return []
    turned = found.points @ _turn(-_slope(found))
    low = np.minimum.reduceat(turned, found.offsets[:-1])  # (N, 2) left, top
    high = np.maximum.reduceat(turned, found.offsets[:-1])  # (N, 2) right, bottom
    middle, height = (low[:, 1] + high[:, 1]) / 2, high[:, 1] - low[:, 1]
    lines: list[_Line] = []
    for index in np.argsort(low[:, 0], kind="stable").tolist():  # each joins the line that it continues to the right
        fits = [
            line
            for line in lines
            if abs(line.middle - middle[index]) <= SAME_LINE * min(line.height, height[index])
            and _beside(low[:, 0], high[:, 0], line.members[-1], index)
        ]
        if fits:
            nearest = min(fits, key=lambda line: abs(line.middle - middle[index]))
            nearest.members.append(index)
            nearest.middle, nearest.height = float(middle[index]), float(height[index])
        else:
            lines.append(_Line([index], float(middle[index]), float(height[index])))
    lines.sort(key=lambda line: float(np.mean(middle[line.members])))
    return [line.members for line in lines]


def in_reading_order(found: Detections) -> Detections:
    """Return the same outlines in reading order."""
    order = [index for line in reading_lines(found) for index in line]
    return Detections.from_polygons([found.polygon(index) for index in order], found.scores[order])


def _slope(found: Detections) -> float:
    """Angle of the text in radians: the median over quads that are wider than high; 0 for outlines of other forms."""
    if np.any(np.diff(found.offsets) != 4):
        return 0.0
    quads = found.quads().astype(np.float64)
    along, down = quads[:, 1] - quads[:, 0], quads[:, 3] - quads[:, 0]
    wide = np.hypot(*along.T) > np.hypot(*down.T)
    angles = np.arctan2(along[wide, 1], along[wide, 0])
    ordered = np.sort(angles)  # np.median would import numpy.ma, 20 ms
    middle = len(ordered) // 2
    return float((ordered[middle] + ordered[~middle]) / 2) if len(ordered) else 0.0


def _turn(angle: float) -> NDArray[np.float64]:
    """Matrix that turns row vectors (x, y) by `angle`, from x towards y."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def _beside(left: NDArray[np.floating], right: NDArray[np.floating], one: int, other: int) -> bool:
    """Whether two outlines overlap little enough horizontally to be neighbours of a line."""
    shared = min(right[one], right[other]) - max(left[one], left[other])
    return bool(shared <= BESIDE * min(right[one] - left[one], right[other] - left[other]))
