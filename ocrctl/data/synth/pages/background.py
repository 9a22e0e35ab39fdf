"""Backgrounds of pages: photographs, or scenes composed of textures, planes and lights."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from random import Random

import cv2
import numpy as np

from ocrctl.config.limits import max_image_bytes
from ocrctl.data.augment.effects import blur
from ocrctl.data.augment.textures import cut, surface_textures
from ocrctl.data.images import Image
from ocrctl.data.images.decode import decode
from ocrctl.data.synth.words.layers import map_colours, spread, texture
from ocrctl.data.synth.words.palette import Colour, shade
from ocrctl.errors import InputError
from ocrctl.files.regular import read_regular

_KNOWN = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_WOOD = 3  # index of the wood texture


@lru_cache(maxsize=4)
def photographs(folder: str) -> tuple[str, ...]:
    """Return the sorted paths of the images under `folder`. Raises InputError when there is none."""
    found = [path for path in Path(folder).rglob("*") if path.suffix.lower() in _KNOWN and path.is_file()]
    if not found:
        raise InputError(f"{folder}: no images found; give a folder of photographs without text.")
    return tuple(str(path) for path in sorted(found, key=lambda path: path.relative_to(folder).as_posix()))


def photograph(r: Random, folder: str, height: int, width: int) -> Image:
    """Return a random crop of a photograph in `folder`, sometimes mirrored, at (height, width). Raises InputError
    naming one that cannot be read."""
    paths = photographs(folder)
    path = paths[int(r.random() * len(paths))]
    try:
        image = decode(read_regular(path, max_image_bytes()), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    full_h, full_w = image.shape[:2]
    fit = min(full_h / height, full_w / width) * (0.6 + 0.4 * r.random())
    part_h, part_w = max(1, min(full_h, int(height * fit))), max(1, min(full_w, int(width * fit)))
    y, x = int(r.random() * (full_h - part_h + 1)), int(r.random() * (full_w - part_w + 1))
    how = cv2.INTER_AREA if fit > 1 else cv2.INTER_LINEAR
    part = cv2.resize(image[y : y + part_h, x : x + part_w], (width, height), interpolation=how)
    return np.ascontiguousarray(part[:, ::-1] if r.random() < 0.5 else part, dtype=np.uint8)


def scene(r: Random, height: int, width: int) -> Image:
    """Draw a wall, a street, shelves, a night or a blurred room, (height, width, 3)."""
    kind = r.random()
    if kind < 0.3:
        return _wall(r, height, width)
    if kind < 0.55:
        return _street(r, height, width)
    if kind < 0.75:
        return _shelves(r, height, width)
    if kind < 0.87:
        return _night(r, height, width)
    return _room(r, height, width)


def table(r: Random, height: int, width: int) -> Image:
    """Draw the surface under a document: wood, cloth, stone or a plain colour."""
    colour = shade(r, 25 + 150 * r.random(), 45 * r.random())
    if r.random() < 0.5:
        grain = cut(surface_textures()[_WOOD], r, height, width)
        return map_colours(grain, *spread(colour, 15 + 40 * r.random(), r))
    return map_colours(texture(r, height, width), *spread(colour, 35 * r.random() ** 2, r))


def paper(r: Random, height: int, width: int) -> Image:
    """Draw a sheet of paper: near white, with a colour that varies by a few grey levels."""
    level = 250 - 35 * r.random() ** 1.5
    clouds = cut(surface_textures()[int(r.random() * 2)], r, height, width)
    return map_colours(clouds, *spread(shade(r, level, 9 * r.random()), 3 + 13 * r.random(), r))


def plate(r: Random, height: int, width: int, colour: Colour, amount: float) -> Image:
    """Draw a sign's surface: one colour, plain or with a texture of `amount` grey levels."""
    if amount < 4:
        image = np.empty((height, width, 3), np.uint8)
        cv2.rectangle(image, (0, 0), (width, height), colour, -1)
        return image
    return map_colours(texture(r, height, width), *spread(colour, amount, r))


def _plane(r: Random, image: Image, box: tuple[int, int, int, int], level: float, chroma: float, amount: float) -> None:
    """Draw a textured rectangle x0, y0, x1, y1 of brightness near `level` into `image`."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])
    if x1 - x0 > 1 and y1 - y0 > 1:
        colour = shade(r, min(250.0, max(5.0, level)), chroma)
        image[y0:y1, x0:x1] = plate(r, y1 - y0, x1 - x0, colour, amount)


def _wall(r: Random, height: int, width: int) -> Image:
    image = np.empty((height, width, 3), np.uint8)
    level = 30 + 190 * r.random()
    _plane(r, image, (0, 0, width, height), level, 60 * r.random(), 10 + 60 * r.random())
    for _ in range(int(4 * r.random())):  # doors, panels, pipes
        x, y = int(width * (r.random() * 1.2 - 0.2)), int(height * (r.random() * 1.2 - 0.2))
        w, h = int(width * (0.04 + 0.4 * r.random())), int(height * (0.1 + 0.9 * r.random()))
        _plane(r, image, (x, y, x + w, y + h), level + 140 * (r.random() - 0.5), 50 * r.random(), 30 * r.random())
    return image


def _street(r: Random, height: int, width: int) -> Image:
    image = np.empty((height, width, 3), np.uint8)
    horizon = int(height * (0.5 + 0.4 * r.random()))
    _plane(r, image, (0, 0, width, horizon), 150 + 100 * r.random(), 50 * r.random(), 30)
    _plane(r, image, (0, horizon, width, height), 40 + 110 * r.random(), 15, 40)
    x = -int(60 * r.random())
    while x < width:  # house by house
        w, top = int(width * (0.12 + 0.35 * r.random())), int(horizon * 0.7 * r.random() ** 1.5)
        level = 40 + 160 * r.random()
        _plane(r, image, (x, top, x + w, horizon), level, 50 * r.random(), 40 * r.random())
        step_x, step_y = int(w / (2 + 4 * r.random())), int(horizon / (3 + 8 * r.random()))
        pane = shade(r, level * (0.3 + 0.4 * r.random()), 25)
        for wy in range(top + step_y // 4, horizon - step_y // 2, max(9, step_y)):
            for wx in range(x + step_x // 4, x + w - step_x // 2, max(9, step_x)):
                if r.random() < 0.9:
                    cv2.rectangle(image, (wx, wy), (wx + step_x // 2, wy + int(step_y * 0.55)), pane, -1)
        x += w
    for _ in range(int(4 * r.random())):  # posts and wires
        start = (int(width * r.random()), int(height * r.random()))
        foot, far = start[0] + int(30 * (r.random() - 0.5)), int(height * r.random())
        end = (foot, height) if r.random() < 0.5 else (width, far)
        cv2.line(image, start, end, shade(r, 40 + 60 * r.random(), 10), 1 + int(5 * r.random()), cv2.LINE_AA)
    return blur(image, 0.7 + 1.6 * r.random())


def _shelves(r: Random, height: int, width: int) -> Image:
    image = np.empty((height, width, 3), np.uint8)
    _plane(r, image, (0, 0, width, height), 30 + 120 * r.random(), 25, 20)
    y = 0
    while y < height:
        row = int(height * (0.12 + 0.2 * r.random()))
        x = 0
        while x < width:
            w, h = int(row * (0.15 + 0.6 * r.random())) + 4, int(row * (0.45 + 0.45 * r.random()))
            if r.random() < 0.85:
                box = (x, y + row - h, x + w, y + row - 4)
                cv2.rectangle(image, box[:2], box[2:], shade(r, 30 + 200 * r.random(), 90 * r.random()), -1)
                if r.random() < 0.6:
                    inner = (x + w // 5, y + row - h // 2), (x + w * 4 // 5, y + row - h // 4)
                    cv2.rectangle(image, *inner, shade(r, 40 + 200 * r.random(), 90 * r.random()), -1)
            x += w + int(4 * r.random())
        cv2.rectangle(image, (0, y + row - 4), (width, y + row), shade(r, 60 + 120 * r.random(), 20), -1)
        y += row
    return blur(image, 1.0 + 2.0 * r.random())


def _night(r: Random, height: int, width: int) -> Image:
    image = np.empty((height, width, 3), np.uint8)
    _plane(r, image, (0, 0, width, height), 8 + 30 * r.random(), 15, 20)
    for _ in range(10 + int(40 * r.random())):
        radius = int(min(height, width) * (0.004 + 0.045 * r.random() ** 2)) + 1
        centre = (int(width * r.random()), int(height * r.random()))
        cv2.circle(image, centre, radius, shade(r, 90 + 150 * r.random(), 110 * r.random()), -1, cv2.LINE_AA)
    return blur(image, 1.0 + 3.0 * r.random())


def _room(r: Random, height: int, width: int) -> Image:
    """Draw large soft shapes, like a background out of focus."""
    small = np.empty((max(8, height // 8), max(8, width // 8), 3), np.uint8)
    inner_h, inner_w = small.shape[:2]
    _plane(r, small, (0, 0, inner_w, inner_h), 60 + 130 * r.random(), 40, 40)
    for _ in range(6 + int(10 * r.random())):
        x, y = int(inner_w * (1.2 * r.random() - 0.2)), int(inner_h * (1.2 * r.random() - 0.2))
        w, h = int(inner_w * (0.05 + 0.4 * r.random())), int(inner_h * (0.05 + 0.5 * r.random()))
        if r.random() < 0.3:
            cv2.circle(small, (x, y), max(2, w // 2), shade(r, 230 * r.random(), 70), -1)
        else:
            _plane(r, small, (x, y, x + w, y + h), 230 * r.random(), 70 * r.random(), 20)
    soft = blur(small, 1.0 + 1.5 * r.random())
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
