"""Degradations of word crops, for rendered and real words: RGB uint8 (H, W, 3) in, the same size out.

Amounts are in units of the image (pixels, grey levels), so that the caller can keep the text legible.
"""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi, sin
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.augment.textures import cut, light_textures, noise_textures, tiled
from ocrctl.data.images import Image


def blur(image: Image, sigma: float) -> Image:
    """Blur with a Gaussian of `sigma` pixels; two box filters approximate a large one (four times faster)."""
    if sigma < 0.7:
        return np.asarray(cv2.GaussianBlur(image, (3, 3), sigma), dtype=np.uint8)
    if sigma < 0.95:
        return np.asarray(cv2.blur(image, (3, 3)), dtype=np.uint8)
    width = (6 * sigma * sigma + 1) ** 0.5  # two boxes of this width have a variance of sigma squared
    first = max(3, int(width + 1) // 2 * 2 - 1)
    second = first + 2 if width > first + 0.5 else first
    return np.asarray(cv2.blur(cv2.blur(image, (first, first)), (second, second)), dtype=np.uint8)


@lru_cache(maxsize=512)
def _line(length: int, step: int) -> NDArray[np.float32]:
    kernel = np.zeros((length, length), np.float32)
    angle, half = step * pi / 16, (length - 1) / 2
    reach = (half * cos(angle), half * sin(angle))
    start = (round(half - reach[0]), round(half - reach[1]))
    cv2.line(kernel, start, (round(half + reach[0]), round(half + reach[1])), 1.0)
    return kernel / kernel.sum()


def motion_blur(image: Image, length: int, direction: float) -> Image:
    """Apply motion blur over `length` pixels (3 or more) along `direction`, 0..1 of a half turn."""
    length |= 1
    step = int(direction * 16) % 16
    if step == 0:
        return np.asarray(cv2.blur(image, (length, 1)), dtype=np.uint8)
    if step == 8:
        return np.asarray(cv2.blur(image, (1, length)), dtype=np.uint8)
    return np.asarray(cv2.filter2D(image, -1, _line(length, step), borderType=cv2.BORDER_REPLICATE), dtype=np.uint8)


@lru_cache(maxsize=64)
def _disc(tenths: int) -> NDArray[np.float32]:
    radius = tenths / 10
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def defocus(image: Image, radius: float) -> Image:
    """Blur with a disc of `radius` pixels, which leaves double edges, unlike a Gaussian."""
    return np.asarray(
        cv2.filter2D(image, -1, _disc(max(5, round(radius * 10))), borderType=cv2.BORDER_REPLICATE), dtype=np.uint8
    )


def rescale(image: Image, height: int, smooth: bool) -> Image:
    """Downscale to `height` pixels and upscale again; `smooth`: anti-aliased and cubic, else jagged in both steps."""
    full_height, full_width = image.shape[:2]
    if height >= full_height:
        return image
    size = (max(4, round(full_width * height / full_height)), height)
    box = round(full_height / height)
    source = cv2.blur(image, (box, box)) if smooth and box > 1 else image
    small = cv2.resize(source, size, interpolation=cv2.INTER_LINEAR)
    up = cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(small, (full_width, full_height), interpolation=up), dtype=np.uint8)


def add_noise(image: Image, r: Random, deviation: float, coloured: bool) -> Image:
    """Add sensor noise of `deviation` grey levels, independent per channel or grey with a coarse part."""
    noise = tiled(noise_textures()[0 if coloured else 1], r, *image.shape[:2])
    gain = deviation / 32
    return np.asarray(cv2.addWeighted(image, 1.0, noise, gain, -128 * gain), dtype=np.uint8)


def illuminate(image: Image, r: Random, strength: float) -> Image:
    """Apply uneven light: soft, cast shadow, spots or a ramp; `strength` 0..1 mixes it with even light."""
    field = cut(light_textures()[int(r.random() * 4)], r, *image.shape[:2])
    if strength < 1:
        field = tone(field, strength, 0.0)
    return np.asarray(cv2.multiply(image, field, scale=1 / 128), dtype=np.uint8)


def jpeg(image: Image, quality: int) -> Image:
    """Compress as JPEG of `quality` 1..100 with halved chroma, as cameras do, and decode."""
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)  # the channel order is kept


def tone(image: Image, gain: float, offset: float) -> Image:
    """Multiply the contrast around middle grey by `gain` and add `offset` grey levels."""
    return np.asarray(cv2.addWeighted(image, gain, image, 0.0, 127.5 * (1 - gain) + offset), dtype=np.uint8)
