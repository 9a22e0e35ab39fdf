"""Noise, surface and light textures, generated once per process and cropped at random positions, which is fast."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

HEIGHT, WIDTH = 256, 1280  # of each texture; larger crops are upscaled


@lru_cache(maxsize=1)
def noise_textures() -> Bytes:
    """Return (2, HEIGHT, WIDTH, 3) noise around 128, deviation 32: [0] per channel, [1] grey, partly coarse."""
    rng = np.random.default_rng(20_240_611)
    colour = 128 + 32 * rng.standard_normal((HEIGHT, WIDTH, 3), np.float32)
    grey = 26 * (rng.standard_normal((HEIGHT, WIDTH), np.float32) + _field(rng, 2, 2))
    both = np.stack([colour, np.repeat(grey[:, :, None] + 128, 3, axis=2)])
    return np.clip(both, 0, 255).astype(np.uint8)


def _field(rng: np.random.Generator, scale_y: float, scale_x: float) -> NDArray[np.float32]:
    """Return (HEIGHT, WIDTH) smooth noise with blobs of about `scale_y` x `scale_x` pixels."""
    size = (max(2, int(HEIGHT / scale_y)), max(2, int(WIDTH / scale_x)))
    coarse = rng.standard_normal(size, np.float32)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _stretch(field: NDArray[np.float32]) -> Bytes:
    low, high = np.percentile(field[::5, ::5], (1, 99))
    return np.clip((field - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def surface_textures() -> Bytes:
    """Return (12, HEIGHT, WIDTH) grey textures over 0..255: clouds, grain, wood, stripes, bricks, blobs, gradients."""
    rng = np.random.default_rng(7_151_129)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)

    def field(scale_y: float, scale_x: float) -> NDArray[np.float32]:
        return _field(rng, scale_y, scale_x)

    clouds = field(64, 64) + 0.5 * field(32, 32) + 0.25 * field(16, 16) + 0.12 * field(8, 8)
    stripes = np.sin((x * 0.8 + y * 0.6 + 6 * field(64, 96)) / 3.5)
    brick = ((y % 22) < 2) | (((x + 20 * ((y // 22) % 2)) % 44) < 2)
    fields = [
        clouds,
        field(40, 40),
        field(3, 3) + 0.6 * field(1, 1),
        field(2, 40) + 0.5 * field(6, 80),
        field(40, 2) + 0.5 * field(80, 6),
        stripes,
        np.sign(np.sin(x / 6.0 + y / 11.0 + 2 * field(120, 120))) + 0.3 * field(3, 3),
        brick * 2.0 + 0.4 * field(4, 4) + 0.6 * field(60, 60),
        np.tanh(4 * field(24, 24)) + 0.2 * clouds,
        np.tanh(6 * field(10, 30)) + 0.3 * field(3, 3),
        np.sin(x / 90.0) + np.cos(y / 60.0) + 0.15 * field(2, 2),
        np.sign(np.sin(y / 7.0)) * 0.8 + 0.4 * clouds,
    ]
    return np.stack([_stretch(f) for f in fields])


@lru_cache(maxsize=1)
def light_textures() -> Bytes:
    """Return (4, HEIGHT, WIDTH, 3) brightness around 128 (unchanged): clouds, cast shadows, spots, ramps."""
    rng = np.random.default_rng(99_194_853)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)

    def field(scale: float) -> NDArray[np.float32]:
        return _field(rng, scale, scale)

    edges = np.tanh(9 * (np.sin(x / 47.0 + y / 31.0 + 1.4 * field(100)) + 0.4 * field(64)))
    spots = np.clip(field(48), 0.4, 3) - 0.4
    ramps = np.abs((x / 160.0 + y / 90.0) % 2 - 1) * 2 - 1
    fields = [field(60), edges, spots * 1.6 - 0.3, ramps]
    # darkens more than it brightens: bright areas would only be clipped
    planes = [np.clip(122 + 44 * f, 36, 156).astype(np.uint8) for f in fields]
    return np.stack([np.repeat(p[:, :, None], 3, axis=2) for p in planes])


def cut(textures: Bytes, r: Random, height: int, width: int) -> Bytes:
    """Crop (height, width) from a texture (HEIGHT, WIDTH[, 3]) at a random position; upscaled if too small."""
    if height > HEIGHT or width > WIDTH:
        factor = max(height / HEIGHT, width / WIDTH)
        part = cut(textures, r, max(1, int(height / factor)), max(1, int(width / factor)))
        return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    y = int(r.random() * (HEIGHT - height + 1))
    x = int(r.random() * (WIDTH - width + 1))
    return textures[y : y + height, x : x + width]


def tiled(textures: Bytes, r: Random, height: int, width: int) -> Bytes:
    """Crop as `cut` does, but extend a texture that is too small by reflection: noise keeps its grain."""
    part = cut(textures, r, min(height, HEIGHT), min(width, WIDTH))
    down, along = height - part.shape[0], width - part.shape[1]
    while down or along:  # a reflection at most doubles the size
        step = (min(down, part.shape[0]), min(along, part.shape[1]))
        part = np.asarray(cv2.copyMakeBorder(part, 0, step[0], 0, step[1], cv2.BORDER_REFLECT), dtype=np.uint8)
        down, along = down - step[0], along - step[1]
    return part
