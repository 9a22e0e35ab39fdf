"""Crop words by their polygons: quads by a perspective warp, curves by unrolling their two long sides."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.config.kept_aspect import TALL
from ocrctl.data.images import Image
from ocrctl.data.polygons.columns import Floats
from ocrctl.data.polygons.fixes import clockwise

_TURNED = 32766  # pixels; maximum of cv2.remap


def in_reach(image: Image, points: Floats) -> bool:
    """Return whether polygon `points` (n, 2) may overlap `image` and is at most twice as large."""
    height, width = image.shape[:2]
    (left, top), (right, bottom) = points.min(0), points.max(0)
    inside = right > 0 and bottom > 0 and left < width and top < height
    return bool(inside and max(right - left, bottom - top) <= 2 * max(width, height))


def crop(image: Image, points: Floats, characters: int = 0) -> Image | None:
    """Crop the text within polygon `points` (n, 2), finite, upright, as (h, w, 3) RGB.

    Returns None when the crop is less than a pixel high or wide, or when it or the image is larger than OpenCV can
    warp. The first point is the top left of the text, clockwise; a counter-clockwise polygon is reversed first
    (`clockwise`). `characters`: length of its text; 2 and more in a tall quad mean vertical text, and the crop is
    rotated a quarter turn to the left, as in recognition sets.
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


def on_image(at: Floats, points: Floats) -> NDArray[np.float64]:
    """Map positions in a crop to the image it was cropped from.

    at: (n, 2), x and y from 0 to 1 across and down the crop. points: the quad (4, 2) of `crop`. Returns (n, 2) in
    pixels of the image.
    """
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    transform = cv2.getPerspectiveTransform(corners, clockwise(points).astype(np.float32))
    mapped = transform @ np.stack([*at.T, np.ones(len(at))])
    return np.asarray((mapped[:2] / mapped[2]).T, np.float64)


def _unrolled(image: Image, points: Floats) -> Image | None:
    """Unroll a curve of 2k points: k along the top from left to right, k back along the bottom (Total-Text)."""
    half = len(points) // 2
    top, bottom = points[:half], points[half:][::-1]
    length = max(_length(top), _length(bottom))
    height = float(np.median(np.hypot(*(top - bottom).T)))
    width, rows = round(length), round(height)
    if min(width, rows) < 1 or max(width, rows, *image.shape[:2]) > _TURNED:
        return None
    upper, lower = _along(top, width), _along(bottom, width)
    share = ((np.arange(rows) + 0.5) / rows)[:, None, None]
    positions = (upper * (1 - share) + lower * share - 0.5).astype(np.float32)
    return np.asarray(
        cv2.remap(image, positions[..., 0], positions[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


def _length(line: Floats) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _along(line: Floats, count: int) -> NDArray[np.float64]:
    """Return `count` points (count, 2) spaced evenly along a polyline."""
    steps = np.concatenate(([0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))))
    at = (np.arange(count) + 0.5) / count * steps[-1]
    return np.column_stack([np.interp(at, steps, line[:, axis]) for axis in (0, 1)])
