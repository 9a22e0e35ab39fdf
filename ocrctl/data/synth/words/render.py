"""Render one word image: glyphs, geometry, background, layers, degradation."""

from __future__ import annotations

from math import asin
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.augment.degrade import degrade
from ocrctl.data.augment.sampler import EffectSampler
from ocrctl.data.images import Image, Mask
from ocrctl.data.images.warp import Box, View, bend, crop_matrix
from ocrctl.data.synth.words.layers import fade, map_colours, paint, shift, spread, texture, thicken, thin
from ocrctl.data.synth.words.palette import Colour, luma, pair
from ocrctl.data.synth.words.typeface import EM, Typeface

MAX_WIDTH = 1024
_MIN_TEXT_HEIGHT = 15.0  # pixels before degradation; the crop is enlarged up to twice to reach it


def render(label: str, typeface: Typeface, sampler: EffectSampler, low: int, high: int, neighbour: str) -> Image:
    """Render `label` with `typeface` as RGB uint8 (H, W, 3), H in `low`..`high` (up to twice that if rotated or bent).

    `neighbour`: text that may be visible at the edges. `typeface` must draw every character of `label`.
    """
    layout = _layout(label, typeface, sampler, low, high, neighbour)
    size, text_height, scale = layout.size, layout.text_height, layout.scale
    warped = np.asarray(cv2.warpPerspective(layout.mask, layout.matrix, size, flags=cv2.INTER_LINEAR), dtype=np.uint8)
    # degradation is relative to letters of a common weight, nine strokes high: thin or dense ones are degraded less
    fine = min(text_height, 9 * typeface.stroke * scale * (0.8 if label[0] > "\u1100" else 1.0))
    image, contrast = _paint(warped, sampler, text_height, fine)
    return degrade(image, sampler, contrast * (fine / text_height) ** 0.5, fine)


def rendered_size(
    label: str, typeface: Typeface, sampler: EffectSampler, low: int, high: int, neighbour: str
) -> tuple[int, int]:
    """Return the (height, width) of the image that `render` makes of the same arguments, in a fifth of the time."""
    width, height = _layout(label, typeface, sampler, low, high, neighbour).size
    return height, width


class _Layout(NamedTuple):
    """Glyphs and geometry of a word: its mask, the matrix from it to the image, the image's width and height, and in
    pixels of the image the height of the letters and the length of a pixel of the mask."""

    mask: Mask
    matrix: NDArray[np.float64]
    size: tuple[int, int]
    text_height: float
    scale: float


def _layout(label: str, typeface: Typeface, sampler: EffectSampler, low: int, high: int, neighbour: str) -> _Layout:
    height = sampler.whole(low, high)
    mask, box, letters = _word_mask(label, typeface, sampler, neighbour)
    matrix, width = crop_matrix(box, _view(box, sampler), height, MAX_WIDTH)
    fall_x, fall_y, rest = matrix[2].tolist()
    depth = fall_x * (box[0] + box[2]) / 2 + fall_y * (box[1] + box[3]) / 2 + rest
    scale = float(matrix[1, 1]) / depth
    text_height = letters * scale
    if text_height < _MIN_TEXT_HEIGHT:  # the letters of a rotated or bent word are smaller: enlarge the crop
        more = min(2.0, _MIN_TEXT_HEIGHT / text_height)
        width, height = min(MAX_WIDTH, round(width * more)), round(height * more)
        matrix[:2] *= more
        text_height, scale = text_height * more, scale * more
    return _Layout(mask, matrix, (width, height), text_height, scale)


def _word_mask(label: str, typeface: Typeface, sampler: EffectSampler, neighbour: str) -> tuple[Mask, Box, float]:
    """Return the word's mask, sometimes with neighbours; the box of the word in it; the height of its letters."""
    spacing, wobble = 0.0, tuple[float, ...]()
    if sampler.on("spacing", 0.3):
        spacing = EM * (sampler.between(-0.05, 0.08) if sampler.random() < 0.6 else sampler.between(0.08, 0.4))
        if sampler.random() < 0.15:
            wobble = tuple(sampler.jitter(3.0) for _ in range(5))
    mask = typeface.run(label, spacing, wobble)
    if sampler.on("weight", 0.15):
        mask = thicken(np.pad(mask, 1), 1) if sampler.random() < 0.75 else thin(mask)
    letters, width = mask.shape
    height = letters
    if len(label) >= 3 and sampler.on("curve", 0.14):
        arc = sampler.between(0.2, 1.0) * min(1.5, width / height * 0.3)
        arc = min(arc, 9.6 * height / width)  # the arc rises by width * arc / 8: at most 1.2 letters
        mask = bend(mask, arc if sampler.random() < 0.6 else -arc)
        height, width = mask.shape
    elif sampler.on("clutter", 0.15) and typeface.draws(neighbour):
        mask, box = _with_neighbour(mask, typeface.run(neighbour), sampler)
        return mask, box, float(letters)
    return mask, (0.0, 0.0, float(width), float(height)), float(letters)


def _with_neighbour(mask: Mask, other: Mask, sampler: EffectSampler) -> tuple[Mask, Box]:
    """Add `other` to `mask` beside, above or below it, like the lines of a sign."""
    height, width = mask.shape
    other_h, other_w = other.shape
    gap = max(2, round(EM * sampler.between(0.08, 0.4)))
    side = sampler.random()
    if side < 0.5:  # left or right, on one baseline
        other = other[:, : 2 * EM] if side < 0.25 else other[:, -2 * EM :]
        other_h, other_w = other.shape
        full = np.zeros((max(height, other_h), width + gap + other_w), np.uint8)
        x = 0 if side < 0.25 else gap + other_w
        y = full.shape[0] - height
        full[full.shape[0] - other_h :, (width + gap if side < 0.25 else 0) :][:, :other_w] = other
    else:
        full = np.zeros((height + gap + other_h, max(width, other_w)), np.uint8)
        x = round(sampler.random() * (full.shape[1] - width))
        y = 0 if side < 0.75 else gap + other_h
        top = height + gap if side < 0.75 else 0
        full[top : top + other_h, :other_w] = other
    full[y : y + height, x : x + width] = mask
    return full, (float(x), float(y), float(x + width), float(y + height))


def _view(box: Box, sampler: EffectSampler) -> View:
    flat = (box[3] - box[1]) / max(box[2] - box[0], 1.0)
    angle = shear = tilt_x = tilt_y = 0.0
    stretch = sampler.between(0.8, 1.2) if sampler.strength else 1.0
    if sampler.on("rotation", 0.5):
        angle = sampler.jitter(0.12) if sampler.random() < 0.8 else sampler.jitter(0.35)
        most = asin(min(1.0, 0.7 * flat))  # keeps the crop of a long word below twice its height
        angle = min(most, max(-most, angle))
    if sampler.on("shear", 0.25):
        shear = sampler.between(-0.15, 0.35)
    if sampler.on("perspective", 0.35):
        tilt_x, tilt_y = sampler.jitter(0.45), sampler.jitter(0.3)
    pads = (0.08, 0.08, 0.08, 0.08)
    if sampler.on("crop", 0.8):
        side = sampler.between
        if sampler.random() < 0.7:
            pads = (side(-0.05, 0.2), side(-0.05, 0.18), side(-0.05, 0.2), side(-0.05, 0.18))
        else:
            pads = (side(0.0, 0.6), side(0.0, 0.4), side(0.0, 0.6), side(0.0, 0.4))
    return View(angle, shear, tilt_x, tilt_y, stretch, pads)


def _paint(mask: Mask, sampler: EffectSampler, text_height: float, fine: float) -> tuple[Image, float]:
    """Return the background with the word, and the contrast between them in grey levels."""
    r = sampler.r
    height, width = mask.shape
    background, colour, contrast = pair(r, fine > 0.6 * text_height and sampler.on("low_contrast", 0.16))
    if sampler.on("texture", 0.6):
        amount = sampler.random() ** 1.3 * min(90.0, 0.55 * contrast)
        image = map_colours(texture(r, height, width), *spread(background, amount, r))
    else:
        image = np.empty((height, width, 3), np.uint8)
        cv2.rectangle(image, (0, 0), (width, height), background, -1)  # ten times as fast as numpy's broadcast
    if sampler.on("clutter", 0.12):
        _draw_border(image, sampler, colour)
    stroke = max(1, round(text_height * 0.045))
    if sampler.on("shadow", 0.16):
        reach = max(1, round(text_height * sampler.between(0.03, 0.1)))
        cast = shift(mask, reach if sampler.random() < 0.8 else -reach, reach)
        if sampler.random() < 0.5:
            cast = np.asarray(cv2.blur(cast, (3, 3)), dtype=np.uint8)
        dark = luma(colour) > 110
        image = paint(
            image, fade(cast, sampler.between(0.35, 0.9)), (8.0, 8.0, 10.0) if dark else (150.0, 150.0, 145.0)
        )
    fill: Colour | Image = colour
    if sampler.on("outline", 0.13):
        rim = (10.0, 10.0, 10.0) if luma(colour) > 128 else (246.0, 246.0, 244.0)
        if sampler.random() < 0.25:
            rim, fill = colour, background  # hollow letters
        image = paint(image, thicken(mask, stroke), rim)
    if sampler.on("gradient_text", 0.15) and fill is colour:
        fill = map_colours(texture(r, height, width), *spread(colour, sampler.random() * min(100.0, 0.7 * contrast), r))
    image = paint(image, mask, fill)
    if sampler.on("emboss", 0.1):
        lit, dim = cv2.subtract(mask, shift(mask, stroke, stroke)), cv2.subtract(mask, shift(mask, -stroke, -stroke))
        image = paint(image, fade(np.asarray(lit, np.uint8), sampler.between(0.3, 0.8)), (250.0, 250.0, 245.0))
        image = paint(image, fade(np.asarray(dim, np.uint8), sampler.between(0.3, 0.8)), (10.0, 10.0, 15.0))
    return image, contrast


def _draw_border(image: Image, sampler: EffectSampler, colour: Colour) -> None:
    """Draw a bar, frame or line at the border of the crop."""
    height, width = image.shape[:2]
    kind, part = sampler.random(), sampler.between(0.03, 0.12)
    other = tuple(round(c * 0.6 + 255 * 0.4 * sampler.random()) for c in colour)
    thick = max(1, round(height * part))
    if kind < 0.35:
        cv2.rectangle(
            image, (0, height - thick if kind < 0.18 else 0), (width, height if kind < 0.18 else thick), other, -1
        )
    elif kind < 0.65:
        cv2.rectangle(
            image, (0 if kind < 0.5 else width - thick, 0), (thick if kind < 0.5 else width, height), other, -1
        )
    elif kind < 0.8:
        cv2.rectangle(image, (0, 0), (width - 1, height - 1), other, max(1, thick // 2))
    else:
        start, end = (0, sampler.whole(0, height)), (width, sampler.whole(0, height))
        cv2.line(image, start, end, other, 1, cv2.LINE_AA)
