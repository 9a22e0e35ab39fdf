"""Word crops from polygons: quads by perspective, curves by unrolling their two long sides."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.images import Image
from ocrctl.data.polygons.columns import Floats
from ocrctl.data.polygons.fixes import clockwise

TALL = 1.5  # height over width from which a quad of several characters is read from the top down and turned upright
_TURNED = 32766  # pixels; what cv2.remap takes


def in_reach(image: Image, points: Floats) -> bool:
    """Whether some of outline `points` (n, 2) may lie on `image`, and it is no more than twice as large."""
    height, width = image.shape[:2]
    (left, top), (right, bottom) = points.min(0), points.max(0)
    inside = right > 0 and bottom > 0 and left < width and top < height
    return bool(inside and max(right - left, bottom - top) <= 2 * max(width, height))


def crop(image: Image, points: Floats, characters: int = 0) -> Image | None:
    """The text within polygon `points` (n, 2), finite, upright, as (h, w, 3) RGB.

    None when it is under a pixel high or wide, or it or the picture is larger than OpenCV can turn. The first point is
    the top left of the text, clockwise; an outline that runs the other way is turned first (`clockwise`).
    `characters`: of its text; 2 and more in a tall quad mean that the text runs down, and the crop is turned a quarter
    to the left, as recognition sets do.
    """
    points = clockwise(points)
    if len(points) >= 6 and len(points) % 2 == 0:
        return _unrolled(image, points)
    if len(points) != 4:
        points = cv2.boxPoints(cv2.minAreaRect(points.astype(np.float32))).astype(np.float64)
        points = np.roll(points, -int(np.argmin(points.sum(1))), axis=0)
    top, right, bottom, left = (float(np.hypot(*(points[(i + 1) % 4] - points[i]))) for i in range(4))
    width, height = round(max(top, bottom)), round(max(left, right))
    if min(width, height) < 1 or max(width, height, *image.shape[:2]) > _TURNED:
        return None
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    transform = cv2.getPerspectiveTransform(points.astype(np.float32) - np.float32(0.5), corners)
    flat = cv2.warpPerspective(
        image, transform, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if characters > 1 and height >= TALL * width:
        flat = np.rot90(flat)
    return np.ascontiguousarray(flat)


def _unrolled(image: Image, points: Floats) -> Image | None:
    """A curve of 2k points: k along the top from left to right, k back along the bottom (Total-Text, CTW1500)."""
    half = len(points) // 2
    top, bottom = points[:half], points[half:][::-1]
    length = max(_length(top), _length(bottom))
    height = float(np.median(np.hypot(*(top - bottom).T)))
    width, rows = round(length), round(height)
    if min(width, rows) < 1 or max(width, rows, *image.shape[:2]) > _TURNED:
        return None
    upper, lower = _along(top, width), _along(bottom, width)
    share = ((np.arange(rows) + 0.5) / rows)[:, None, None]
    places = (upper * (1 - share) + lower * share - 0.5).astype(np.float32)
    return np.asarray(
        cv2.remap(image, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def _length(line: Floats) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _along(line: Floats, count: int) -> NDArray[np.float64]:
    """`count` points (count, 2) evenly along a broken line."""
    steps = np.concatenate(([0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))))
    at = (np.arange(count) + 0.5) / count * steps[-1]
    return np.column_stack([np.interp(at, steps, line[:, axis]) for axis in (0, 1)])
