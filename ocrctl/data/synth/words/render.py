"""One word picture: glyphs, geometry, ground, layers, wear."""

from __future__ import annotations

from math import asin

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.augment.degrade import wear
from ocrctl.data.augment.sampler import Dice
from ocrctl.data.images.warp import Box, View, bend, crop_matrix
from ocrctl.data.synth.words.layers import fade, map_colours, paint, shift, spread, texture, thicken, thin
from ocrctl.data.synth.words.palette import Colour, luma, pair
from ocrctl.data.synth.words.typeface import EM, Typeface

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]

MAX_WIDTH = 1024
_LEAST = 15.0  # pixels a word is tall before wear, as long as the crop need not double for it


def render(label: str, face: Typeface, dice: Dice, low: int, high: int, neighbour: str) -> Image:
    """RGB uint8 (H, W, 3) of `label` drawn with `face`, H from `low` up to `high` (twice that for steep or bent words).

    `neighbour`: text that may show at the edges. `face` must draw every character of `label`.
    """
    height = dice.whole(low, high)
    mask, box, letters = _ink(label, face, dice, neighbour)
    matrix, width = crop_matrix(box, _view(box, dice), height, MAX_WIDTH)
    fall_x, fall_y, rest = matrix[2].tolist()
    depth = fall_x * (box[0] + box[2]) / 2 + fall_y * (box[1] + box[3]) / 2 + rest
    scale = float(matrix[1, 1]) / depth
    text_height = letters * scale
    if (
        text_height < _LEAST
    ):  # letters shrank because the word is steep or bent: a larger crop gives them their pixels back
        more = min(2.0, _LEAST / text_height)
        width, height = min(MAX_WIDTH, round(width * more)), round(height * more)
        matrix[:2] *= more
        text_height, scale = text_height * more, scale * more
    seen = np.asarray(cv2.warpPerspective(mask, matrix, (width, height), flags=cv2.INTER_LINEAR), dtype=np.uint8)
    # wear is measured in letters of a common weight, nine strokes high: thin or crowded ones bear less of it
    fine = min(text_height, 9 * face.stroke * scale * (0.8 if label[0] > "\u1100" else 1.0))
    image, contrast = _paint(seen, dice, text_height, fine)
    return wear(image, dice, contrast * (fine / text_height) ** 0.5, fine)


def _ink(label: str, face: Typeface, dice: Dice, neighbour: str) -> tuple[Mask, Box, float]:
    """The word's mask, at times with neighbours; the box of the word itself in it; the height of its letters."""
    spacing, wobble = 0.0, tuple[float, ...]()
    if dice.on("spacing", 0.3):
        spacing = EM * (dice.between(-0.05, 0.08) if dice.random() < 0.6 else dice.between(0.08, 0.4))
        if dice.random() < 0.15:
            wobble = tuple(dice.around(3.0) for _ in range(5))
    mask = face.run(label, spacing, wobble)
    if dice.on("weight", 0.15):
        mask = thicken(np.pad(mask, 1), 1) if dice.random() < 0.75 else thin(mask)
    letters, width = mask.shape
    height = letters
    if len(label) >= 3 and dice.on("curve", 0.14):
        arc = dice.between(0.2, 1.0) * min(1.5, width / height * 0.3)
        arc = min(arc, 9.6 * height / width)  # the bow rises by width * arc / 8: at most 1.2 letters
        mask = bend(mask, arc if dice.random() < 0.6 else -arc)
        height, width = mask.shape
    elif dice.on("clutter", 0.15) and face.draws(neighbour):
        mask, box = _beside(mask, face.run(neighbour), dice)
        return mask, box, float(letters)
    return mask, (0.0, 0.0, float(width), float(height)), float(letters)


def _beside(mask: Mask, other: Mask, dice: Dice) -> tuple[Mask, Box]:
    """`mask` with `other` next to, above or below it, as lines of a sign are."""
    height, width = mask.shape
    other_h, other_w = other.shape
    gap = max(2, round(EM * dice.between(0.08, 0.4)))
    side = dice.random()
    if side < 0.5:  # left or right, on one baseline
        other = other[:, : 2 * EM] if side < 0.25 else other[:, -2 * EM :]
        other_h, other_w = other.shape
        full = np.zeros((max(height, other_h), width + gap + other_w), np.uint8)
        x = 0 if side < 0.25 else gap + other_w
        y = full.shape[0] - height
        full[full.shape[0] - other_h :, (width + gap if side < 0.25 else 0) :][:, :other_w] = other
    else:
        full = np.zeros((height + gap + other_h, max(width, other_w)), np.uint8)
        x = round(dice.random() * (full.shape[1] - width))
        y = 0 if side < 0.75 else gap + other_h
        top = height + gap if side < 0.75 else 0
        full[top : top + other_h, :other_w] = other
    full[y : y + height, x : x + width] = mask
    return full, (float(x), float(y), float(x + width), float(y + height))


def _view(box: Box, dice: Dice) -> View:
    flat = (box[3] - box[1]) / max(box[2] - box[0], 1.0)
    angle = shear = tilt_x = tilt_y = 0.0
    stretch = dice.between(0.8, 1.2) if dice.strength else 1.0
    if dice.on("rotation", 0.5):
        angle = dice.around(0.12) if dice.random() < 0.8 else dice.around(0.35)
        most = asin(min(1.0, 0.7 * flat))  # the crop of a long word must not grow to twice its height
        angle = min(most, max(-most, angle))
    if dice.on("shear", 0.25):
        shear = dice.between(-0.15, 0.35)
    if dice.on("perspective", 0.35):
        tilt_x, tilt_y = dice.around(0.45), dice.around(0.3)
    pads = (0.08, 0.08, 0.08, 0.08)
    if dice.on("crop", 0.8):
        if dice.random() < 0.7:
            pads = (
                dice.between(-0.05, 0.2),
                dice.between(-0.05, 0.18),
                dice.between(-0.05, 0.2),
                dice.between(-0.05, 0.18),
            )
        else:
            pads = (dice.between(0.0, 0.6), dice.between(0.0, 0.4), dice.between(0.0, 0.6), dice.between(0.0, 0.4))
    return View(angle, shear, tilt_x, tilt_y, stretch, pads)


def _paint(mask: Mask, dice: Dice, text_height: float, fine: float) -> tuple[Image, float]:
    """The ground with the word on it, and the contrast between them in grey levels."""
    r = dice.r
    height, width = mask.shape
    ground, colour, contrast = pair(r, fine > 0.6 * text_height and dice.on("low_contrast", 0.16))
    if dice.on("texture", 0.6):
        amount = dice.random() ** 1.3 * min(90.0, 0.55 * contrast)
        image = map_colours(texture(r, height, width), *spread(ground, amount, r))
    else:
        image = np.empty((height, width, 3), np.uint8)
        cv2.rectangle(image, (0, 0), (width, height), ground, -1)  # a tenth of numpy's broadcast
    if dice.on("clutter", 0.12):
        _edge(image, dice, colour)
    stroke = max(1, round(text_height * 0.045))
    if dice.on("shadow", 0.16):
        reach = max(1, round(text_height * dice.between(0.03, 0.1)))
        cast = shift(mask, reach if dice.random() < 0.8 else -reach, reach)
        if dice.random() < 0.5:
            cast = np.asarray(cv2.blur(cast, (3, 3)), dtype=np.uint8)
        dark = luma(colour) > 110
        image = paint(image, fade(cast, dice.between(0.35, 0.9)), (8.0, 8.0, 10.0) if dark else (150.0, 150.0, 145.0))
    fill: Colour | Image = colour
    if dice.on("outline", 0.13):
        rim = (10.0, 10.0, 10.0) if luma(colour) > 128 else (246.0, 246.0, 244.0)
        if dice.random() < 0.25:
            rim, fill = colour, ground  # hollow letters
        image = paint(image, thicken(mask, stroke), rim)
    if dice.on("gradient_text", 0.15) and fill is colour:
        fill = map_colours(texture(r, height, width), *spread(colour, dice.random() * min(100.0, 0.7 * contrast), r))
    image = paint(image, mask, fill)
    if dice.on("emboss", 0.1):
        lit, dim = cv2.subtract(mask, shift(mask, stroke, stroke)), cv2.subtract(mask, shift(mask, -stroke, -stroke))
        image = paint(image, fade(np.asarray(lit, np.uint8), dice.between(0.3, 0.8)), (250.0, 250.0, 245.0))
        image = paint(image, fade(np.asarray(dim, np.uint8), dice.between(0.3, 0.8)), (10.0, 10.0, 15.0))
    return image, contrast


def _edge(image: Image, dice: Dice, colour: Colour) -> None:
    """A bar, frame or line of a sign at the border of the crop, drawn into `image`."""
    height, width = image.shape[:2]
    kind, part = dice.random(), dice.between(0.03, 0.12)
    other = tuple(round(c * 0.6 + 255 * 0.4 * dice.random()) for c in colour)
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
        start, end = (0, dice.whole(0, height)), (width, dice.whole(0, height))
        cv2.line(image, start, end, other, 1, cv2.LINE_AA)
