"""Augment real word crops with the geometry, light and degradation of synthetic words."""

from __future__ import annotations

from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.augment.degrade import degrade
from ocrctl.data.augment.effects import tone
from ocrctl.data.augment.sampler import EffectSampler
from ocrctl.data.images import Image
from ocrctl.data.images.warp import View, crop_matrix

TALLEST = 64  # pixels; recognisers read 32 to 48, and the cost is per pixel
MAX_WIDTH = 1024  # of the result, where every image is stretched to one size


def augment_word(image: Image, rng: np.random.Generator, strength: float = 1.0, max_width: int = MAX_WIDTH) -> Image:
    """Return a variant of `image`, RGB uint8 (H, W, 3), with the same text; crop and rotation change its size.

    `strength` 0..1 scales the probability of each effect and the geometry; 0 returns the image unchanged. One draw is
    taken from `rng`. `max_width`: pixels of the result, which is at most 64 high. Raises ValueError when the image is
    not RGB uint8 or the strength is out of range.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"augment_word: expected RGB uint8 (H, W, 3), found {image.dtype} {image.shape}")
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"augment_word: strength {strength} is outside 0..1")
    seed = int(rng.integers(1 << 62))
    if strength == 0.0:
        return image
    sampler = EffectSampler(Random(seed), strength)
    image = recolour(_turn(image, sampler, max_width), sampler)
    # real crops are already blurred and compressed: degrade them relative to smaller letters, and less often
    contrast = 2.0 * float(cv2.meanStdDev(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[1][0, 0])
    sampler.strength = 0.6 * strength
    return degrade(image, sampler, contrast, 0.6 * image.shape[0])


def augmented_size(
    height: int, width: int, rng: np.random.Generator, strength: float = 1.0, max_width: int = MAX_WIDTH
) -> tuple[int, int]:
    """Return the (height, width) of `augment_word`'s result for an image of this size, without the image. One draw is
    taken from `rng`, the same one."""
    seed = int(rng.integers(1 << 62))
    if strength == 0.0:
        return height, width
    _, (new_width, new_height) = _geometry(height, width, EffectSampler(Random(seed), strength), max_width)
    return new_height, new_width


def _geometry(
    height: int, width: int, sampler: EffectSampler, max_width: int
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Sample rotation, shear, perspective, stretch and crop of an image. Returns the matrix (3, 3) to the result, and
    its width and height."""
    angle = shear = tilt_x = tilt_y = 0.0
    reach = sampler.strength
    if sampler.on("rotation", 0.5):
        angle = sampler.jitter(0.14 * reach) * min(1.0, 2.5 * height / width)
    if sampler.on("shear", 0.3):
        shear = sampler.jitter(0.3 * reach)
    if sampler.on("perspective", 0.3):
        tilt_x, tilt_y = sampler.jitter(0.35 * reach), sampler.jitter(0.25 * reach)
    pads = (0.0, 0.0, 0.0, 0.0)
    if sampler.on("crop", 0.6):
        left, top, right, bottom = (sampler.between(-0.07, 0.1) * reach for _ in range(4))
        pads = (left, top, right, bottom)
    stretch = 1.0 + sampler.jitter(0.25 * reach)
    matrix, new_width = crop_matrix(
        (0.0, 0.0, width, height), View(angle, shear, tilt_x, tilt_y, stretch, pads), min(height, TALLEST), max_width
    )
    return matrix, (new_width, min(height, TALLEST))


def _turn(image: Image, sampler: EffectSampler, max_width: int) -> Image:
    """Apply rotation, shear, perspective, stretch, crop and resize in one warp; the border is replicated."""
    height, width = image.shape[:2]
    matrix, size = _geometry(height, width, sampler, max_width)
    if height > 2 * TALLEST:  # bilinear sampling skips pixels below half size: shrink first
        factor = TALLEST / height
        image = np.asarray(
            cv2.resize(image, (max(1, round(width * factor)), TALLEST), interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
        matrix[:, :2] *= (width / image.shape[1], height / image.shape[0])
    return np.asarray(
        cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        dtype=np.uint8,
    )


def recolour(image: Image, sampler: EffectSampler) -> Image:
    """Change contrast, brightness and hue, invert, or convert to grey."""
    if sampler.on("tone", 0.4):
        image = tone(image, sampler.between(0.55, 1.25), sampler.between(-35.0, 35.0))
    if sampler.on("invert", 0.15):
        image = np.asarray(cv2.bitwise_not(image), dtype=np.uint8)
    hue = sampler.random()
    if hue < 0.1 and sampler.on("grey", 1.0):
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    elif hue < 0.25 and sampler.on("channels", 1.0):
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), dtype=np.uint8)
    elif hue < 0.45 and sampler.on("cast", 1.0):
        gains = (sampler.between(0.75, 1.2), sampler.between(0.8, 1.15), sampler.between(0.75, 1.2), 0.0)
        image = np.asarray(cv2.multiply(image, np.array(gains)), dtype=np.uint8)
    return image
