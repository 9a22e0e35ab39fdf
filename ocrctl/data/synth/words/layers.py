"""Layers of a word image: textured backgrounds, and masks painted on them with a colour."""

from __future__ import annotations

from random import Random

import cv2
import numpy as np

from ocrctl.data.augment.textures import cut, surface_textures
from ocrctl.data.images import Image, Mask
from ocrctl.data.synth.words.palette import Colour

_KERNELS = {size: cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)) for size in (2, 3, 5, 7, 9)}


def map_colours(grey: Mask, start: Colour, end: Colour) -> Image:
    """Map grey level 0 to `start` and 255 to `end`, linearly in between. Returns (H, W, 3)."""
    # three scaled copies take half the time of a lookup table
    planes = [
        cv2.convertScaleAbs(grey, alpha=(last - first) / 255, beta=first)
        for first, last in zip(start, end, strict=True)
    ]
    return np.asarray(cv2.merge(planes), dtype=np.uint8)


def texture(r: Random, height: int, width: int) -> Mask:
    """Sample a (height, width) grey texture over 0..255, sometimes upscaled to a coarser grain."""
    bank = surface_textures()
    plane = bank[int(r.random() * len(bank))]
    grain = r.random()
    if grain < 0.4:  # a small crop upscaled: the same textures at two to four times the grain
        factor = 2 + 5 * grain
        part = cut(plane, r, max(4, int(height / factor)), max(8, int(width / factor)))
        return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    return cut(plane, r, height, width)


def spread(colour: Colour, amount: float, r: Random) -> tuple[Colour, Colour]:
    """Return two colours about `amount` grey levels apart around `colour`, slightly different in hue."""
    tint = [(r.random() - 0.5) * 0.5 + 1.0 for _ in range(3)]
    low = (colour[0] - amount * tint[0] / 2, colour[1] - amount * tint[1] / 2, colour[2] - amount * tint[2] / 2)
    high = (colour[0] + amount * tint[0] / 2, colour[1] + amount * tint[1] / 2, colour[2] + amount * tint[2] / 2)
    return _clip(low), _clip(high)


def _clip(colour: Colour) -> Colour:
    return (min(255.0, max(0.0, colour[0])), min(255.0, max(0.0, colour[1])), min(255.0, max(0.0, colour[2])))


def paint(image: Image, mask: Mask, colour: Colour | Image) -> Image:
    """Paint `colour` (one colour, or an image of the same size) on `image` with opacity `mask` (H, W) / 255."""
    keep = cv2.bitwise_not(mask)
    under = cv2.multiply(image, cv2.merge((keep, keep, keep)), scale=1 / 255)
    if isinstance(colour, tuple):
        return np.asarray(cv2.add(under, map_colours(mask, (0.0, 0.0, 0.0), colour)), dtype=np.uint8)
    over = cv2.multiply(colour, cv2.merge((mask, mask, mask)), scale=1 / 255)
    return np.asarray(cv2.add(under, over), dtype=np.uint8)


def thicken(mask: Mask, pixels: int) -> Mask:
    """Widen strokes by about `pixels` (1 to 4) on each side."""
    return np.asarray(cv2.dilate(mask, _KERNELS[min(9, 2 * pixels + 1)]), dtype=np.uint8)


def thin(mask: Mask) -> Mask:
    """Thin strokes by one pixel."""
    return np.asarray(cv2.erode(mask, _KERNELS[2]), dtype=np.uint8)


def shift(mask: Mask, dx: int, dy: int) -> Mask:
    """Move `mask` by whole pixels; new areas are empty."""
    height, width = mask.shape
    moved = np.zeros_like(mask)
    moved[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = mask[
        max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)
    ]
    return moved


def fade(mask: Mask, share: float) -> Mask:
    """Scale the opacity of `mask` by `share` (0..1)."""
    return np.asarray(cv2.convertScaleAbs(mask, alpha=share), dtype=np.uint8)
