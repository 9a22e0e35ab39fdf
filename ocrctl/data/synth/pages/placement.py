"""Choose the position of a sign in a scene, and a text colour with enough contrast."""

from __future__ import annotations

from random import Random

import cv2
import numpy as np

from ocrctl.data.augment.sampler import EffectSampler
from ocrctl.data.images.warp import centre_matrix
from ocrctl.data.polygons.page_words import Floats, transform
from ocrctl.data.synth.pages.canvas import Canvas
from ocrctl.data.synth.pages.word_mark import Style
from ocrctl.data.synth.words.palette import Colour, luma, shade

Box = tuple[float, float, float, float]  # left, top, right, bottom

_TRIES = 8  # positions tried for a sign that must not cover another


def free_matrix(
    r: Random, canvas: Canvas, sampler: EffectSampler, width: float, height: float, taken: list[Box]
) -> Floats | None:
    """Return a matrix that puts a sheet of this size at a free position, rotated and tilted; None without room."""
    fit = min(1.0, canvas.width * 0.95 / width, canvas.height * 0.95 / height)
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float64)
    for _ in range(_TRIES):
        reach = sampler.strength
        angle = sampler.jitter(0.16 if sampler.random() < 0.8 else 0.7) * reach if sampler.random() < 0.7 else 0.0
        tilt = (sampler.jitter(0.7) * reach, sampler.jitter(0.45) * reach) if sampler.random() < 0.6 else (0.0, 0.0)
        view = centre_matrix(width, height, fit, angle, tilt, (width / 2, height / 2))
        x, y = canvas.width * (0.02 + 0.96 * r.random()), canvas.height * (0.02 + 0.96 * r.random())
        matrix = np.array(((1.0, 0.0, x), (0.0, 1.0, y), (0.0, 0.0, 1.0))) @ view
        visible = transform(corners, matrix)
        (x0, y0), (x1, y1) = visible.min(0).tolist(), visible.max(0).tolist()
        shown = (min(x1, canvas.width) - max(x0, 0)) * (min(y1, canvas.height) - max(y0, 0))
        free = all(x0 >= b[2] or x1 <= b[0] or y0 >= b[3] or y1 <= b[1] for b in taken)
        if free and shown > 0.8 * (x1 - x0) * (y1 - y0):  # a few signs extend beyond the canvas
            taken.append((x0, y0, x1, y1))
            return matrix
    return None


def sample_style(r: Random, colour: Colour) -> Style:
    rim = None
    if r.random() < 0.12:
        rim = (10.0, 10.0, 10.0) if luma(colour) > 128 else (246.0, 246.0, 244.0)
    return Style(colour, rim, 0.3 + 0.5 * r.random() if r.random() < 0.15 else 0.0)


def contrasting_style(r: Random, canvas: Canvas, corners: Floats) -> Style:
    """Return a style that contrasts with the canvas within `corners` of a box."""
    (x0, y0), (x1, y1) = np.floor(corners.min(0)).astype(int).tolist(), np.ceil(corners.max(0)).astype(int).tolist()
    part = canvas.image[max(0, y0) : max(1, y1), max(0, x0) : max(1, x1)]
    mean, deviation = cv2.meanStdDev(part) if part.size else (np.full((3, 1), 128.0), np.full((3, 1), 50.0))
    level = luma((float(mean[0, 0]), float(mean[1, 0]), float(mean[2, 0])))
    bright = level < 128
    colour = shade(r, 255 - 60 * r.random() if bright else 50 * r.random(), 70 * r.random())
    busy = float(deviation.mean()) > 25
    rim = None
    if busy or r.random() < 0.25:
        rim = shade(r, 30 * r.random() if bright else 255 - 40 * r.random(), 20)
    return Style(colour, rim, 0.6 if bright and r.random() < 0.4 else 0.0)
