"""Warp words and pages: one matrix for rotation, shear, perspective, stretch, crop and resize; text along an arc."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class View:
    """Viewpoint of a word. Angles in radians; `tilt_x`, `tilt_y`: shrinkage of one side against the other, +-0.5."""

    angle: float = 0.0
    shear: float = 0.0  # pixels sideways per pixel up
    tilt_x: float = 0.0
    tilt_y: float = 0.0
    stretch: float = 1.0  # of the width
    pads: tuple[float, float, float, float] = (
        0.0,
        0.0,
        0.0,
        0.0,
    )  # left, top, right, bottom, in word heights; below 0 cuts


Box = tuple[float, float, float, float]


def crop_matrix(box: Box, view: View, height: int, max_width: int) -> tuple[NDArray[np.float64], int]:
    """Return the matrix (3, 3) from source pixels to a crop, and the crop's width in pixels (8 to `max_width`).

    `box` = x0, y0, x1, y1 of the word in the source; the crop is the upright box around the warped word, plus pads.
    """
    x0, y0, x1, y1 = box
    half_w, half_h = max(x1 - x0, 1.0) / 2, max(y1 - y0, 1.0) / 2
    ca, sa, k = cos(view.angle), sin(view.angle), view.stretch
    fall_x, fall_y = 0.5 * view.tilt_x / half_w, 0.5 * view.tilt_y / half_h
    # rows of the map from (x, y) relative to the word's centre: shear, stretch, rotation, divided by the depth
    xx, xy = ca * k, -ca * view.shear - sa
    yx, yy = sa * k, -sa * view.shear + ca
    left = top = 1e9
    right = bottom = -1e9
    for x, y in ((-half_w, -half_h), (half_w, -half_h), (half_w, half_h), (-half_w, half_h)):
        depth = 1.0 + fall_x * x + fall_y * y
        u, v = (xx * x + xy * y) / depth, (yx * x + yy * y) / depth
        left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
    unit = 2 * half_h
    left, right = left - view.pads[0] * unit, right + view.pads[2] * unit
    top, bottom = top - view.pads[1] * unit, bottom + view.pads[3] * unit
    scale_y = height / max(bottom - top, 1.0)
    width = int(min(max_width, max(8.0, (right - left) * scale_y)))
    scale_x = width / max(right - left, 1.0)
    middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
    rest = 1.0 - fall_x * middle_x - fall_y * middle_y
    # (u - left) * scale over one depth: subtract left times the depth's row, then move the origin to the centre
    ux, uy = scale_x * (xx - left * fall_x), scale_x * (xy - left * fall_y)
    vx, vy = scale_y * (yx - top * fall_x), scale_y * (yy - top * fall_y)
    matrix = np.array(
        (
            (ux, uy, -scale_x * (xx * middle_x + xy * middle_y + left * rest)),
            (vx, vy, -scale_y * (yx * middle_x + yy * middle_y + top * rest)),
            (fall_x, fall_y, rest),
        )
    )
    return matrix, width


def bend(mask: NDArray[np.uint8], arc: float) -> NDArray[np.uint8]:
    """Bend a flat text mask (h, w) onto a circle: `arc` radians from end to end, above 0 arched up, below 0 down."""
    height, width = mask.shape
    turn = abs(arc)
    inner = width / turn  # the inner edge keeps the length of the flat text
    outer = inner + height
    half = turn / 2
    out_w = int(np.ceil(2 * outer * sin(half))) if half < 1.57 else int(2 * outer)
    out_h = int(np.ceil(outer - inner * cos(half)))
    x = (np.arange(out_w, dtype=np.float32) - (out_w - 1) / 2)[None, :].repeat(out_h, 0)
    y = (outer - np.arange(out_h, dtype=np.float32))[:, None].repeat(out_w, 1)
    distance, angle = cv2.cartToPolar(y, x)
    turned = np.where(angle > np.pi, angle - np.float32(2 * np.pi), angle)
    map_x = turned * (width / turn) + width / 2
    map_y = outer - distance
    if arc < 0:  # the same circle from below: flip the map, not the letters
        map_x, map_y = map_x[::-1], height - map_y[::-1]
    return np.asarray(
        cv2.remap(mask, np.ascontiguousarray(map_x), np.ascontiguousarray(map_y), cv2.INTER_LINEAR), dtype=np.uint8
    )


def bend_points(points: NDArray[np.float64], width: int, height: int, arc: float) -> NDArray[np.float64]:
    """Map points (n, 2) of the flat mask (`height`, `width`) as `bend` does. Coordinates start at pixel corners."""
    turn = abs(arc)
    outer = width / turn + height
    half = turn / 2
    out_w = int(np.ceil(2 * outer * sin(half))) if half < 1.57 else int(2 * outer)
    out_h = int(np.ceil(outer - (outer - height) * cos(half)))
    along, down = points[:, 0] - 0.5, points[:, 1] - 0.5
    if arc < 0:
        down = height - down
    angle, radius = (along - width / 2) * (turn / width), outer - down
    x, y = radius * np.sin(angle) + (out_w - 1) / 2, outer - radius * np.cos(angle)
    if arc < 0:
        y = out_h - 1 - y
    return np.column_stack((x, y)) + 0.5


def centre_matrix(
    width: float, height: float, scale: float, angle: float, tilt: tuple[float, float], reach: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the matrix (3, 3) that rotates and scales a plane of `width` x `height` about its centre, moved to (0, 0).

    `angle` in radians; `tilt`: how much one side shrinks against the other over `reach` pixels to either side.
    """
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array(((cos(angle), -sin(angle)), (sin(angle), cos(angle))))
    matrix[2, :2] = 0.5 * tilt[0] / reach[0], 0.5 * tilt[1] / reach[1]
    return matrix @ np.array(((1.0, 0.0, -width / 2), (0.0, 1.0, -height / 2), (0.0, 0.0, 1.0)))
