"""Augment pages: one warp for image and polygons, then colour and degradation at the network's input size."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, radians
from random import Random

import cv2
import numpy as np

from ocrctl.data.augment.degrade import degrade
from ocrctl.data.augment.sampler import EffectSampler
from ocrctl.data.augment.words import recolour
from ocrctl.data.images import Image
from ocrctl.data.images.warp import centre_matrix
from ocrctl.data.polygons.page_words import Floats, PageWords, transform
from ocrctl.errors import UsageError

_NEVER = frozenset({"invert"})  # negatives of photographs do not occur
_POSITIONS = 16  # window positions tried
_FEW = 0.05  # accepted share of cut words in a window: on a dense page some always are
_LARGEST_SCALE = 4.0  # larger scales only blur a small image


@dataclass(frozen=True, slots=True)
class PageAugment:
    """Ranges of page augmentation. `strength` 0..1 scales the probability and amount of everything but flip and mosaic;
    0 shows the whole page, upright, at the top left of the network's input."""

    strength: float = 1.0
    rotate: float = 10.0  # degrees to either side
    zoom: tuple[float, float] = (0.6, 2.2)  # scale relative to the one at which page and window have equal areas
    stretch: float = 0.2  # of the width relative to the height
    perspective: float = 0.12  # how much one side may shrink against the other
    colour: bool = True
    degrade: float = (
        0.5  # share of the degradations (light, blur, noise, JPEG) of synthetic words; photographs have their own
    )
    flip: float = 0.0  # probability of mirroring, which makes the text unreadable
    mosaic: float = 0.0  # probability of four pages in one input

    def __post_init__(self) -> None:
        for name in ("strength", "stretch", "perspective", "degrade", "flip", "mosaic"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"page augmentation: {name} {getattr(self, name)} is outside 0..1.")
        if not 0.0 < self.zoom[0] <= self.zoom[1] <= 20.0 or not 0.0 <= self.rotate <= 180.0:
            raise UsageError(
                f"page augmentation: keep 0 < zoom {self.zoom} <= 20 and 0 <= rotate {self.rotate} <= 180."
            )


@dataclass(frozen=True, slots=True)
class PageView:
    """Position of a page in a window: `matrix` (3, 3) maps page pixels to it, `scale` is its pixels per page pixel."""

    matrix: Floats
    scale: float
    height: int
    width: int


def sample_view(
    page: tuple[int, int], words: PageWords, window: tuple[int, int], settings: PageAugment, r: Random
) -> PageView:
    """Sample rotation, scale, stretch, perspective and window position. `page`, `window`: (height, width).

    Of 16 window positions, half of them around a word that is not ignored, the first is used that shows a complete word
    and cuts at most a twentieth of its words, otherwise the one that cuts the smallest share.
    """
    sampler = EffectSampler(r, settings.strength)
    fit = min(window[0] / page[0], window[1] / page[1])
    if settings.strength == 0:
        return _flipped(PageView(np.diag((fit, fit, 1.0)), fit, *window), page[1] * fit, settings, sampler)
    even = (window[0] * window[1] / (page[0] * page[1])) ** 0.5
    scale = min(even * exp(sampler.between(log(settings.zoom[0]), log(settings.zoom[1]))), _LARGEST_SCALE)
    matrix = _around_middle(page, window, scale, settings, sampler)
    left, top = _window_position(page, words, window, matrix, r)
    move = np.array(((1.0, 0.0, -left), (0.0, 1.0, -top), (0.0, 0.0, 1.0)))
    return _flipped(PageView(move @ matrix, scale, *window), window[1], settings, sampler)


def _around_middle(
    page: tuple[int, int], window: tuple[int, int], scale: float, settings: PageAugment, sampler: EffectSampler
) -> Floats:
    """Return the matrix without the window's position: the page's centre maps to (0, 0)."""
    angle = stretch = tilt_x = tilt_y = 0.0
    if sampler.on("rotate", 0.6):
        angle = sampler.jitter(radians(settings.rotate) * settings.strength)
    if sampler.on("stretch", 0.5):
        stretch = sampler.jitter(settings.stretch * settings.strength)
    if sampler.on("perspective", 0.4):
        tilt_x, tilt_y = (sampler.jitter(settings.perspective * settings.strength) for _ in range(2))
    height, width = page
    # relative to the window's extent, else a small page in a large window would bend beyond its horizon
    reach_x, reach_y = (max(size / 2, 0.75 * max(window) / scale) for size in (width, height))
    middle = centre_matrix(width, height, scale, angle, (tilt_x, tilt_y), (reach_x, reach_y))
    across, down = 1 + stretch / 2, 1 - stretch / 2
    wider = np.array(((across, 0.0, (1 - across) * width / 2), (0.0, down, (1 - down) * height / 2), (0.0, 0.0, 1.0)))
    return middle @ wider


def _window_position(
    page: tuple[int, int], words: PageWords, window: tuple[int, int], matrix: Floats, r: Random
) -> tuple[float, float]:
    """Return left and top of the window within the warped page."""
    outline = transform(np.array(((0, 0), (page[1], 0), (page[1], page[0]), (0, page[0])), np.float64), matrix)
    first, last = outline.min(0), outline.max(0)
    size = np.array((window[1], window[0]), np.float64)
    slack = last - first - size  # above 0: the window moves within the page, below 0: the page within the window
    draws = np.array([(r.random(), r.random()) for _ in range(_POSITIONS)])
    positions = first + draws * slack
    boxes = words.moved(matrix).boxes()
    readable = np.flatnonzero(~words.ignore)
    if len(readable):
        # half of the windows show a chosen word completely if it fits, and leave the page no more than necessary
        chosen = boxes[readable[[int(r.random() * len(readable)) for _ in range(_POSITIONS // 2)]]]
        around = chosen[:, 2:] - size + draws[: _POSITIONS // 2] * (size - (chosen[:, 2:] - chosen[:, :2]))
        positions[::2] = np.clip(around, np.minimum(first, first + slack), np.maximum(first, first + slack))
    ends = positions + size
    visible = (boxes[None, :, :2] < ends[:, None]).all(2) & (boxes[None, :, 2:] > positions[:, None]).all(2)
    whole = (boxes[None, :, :2] >= positions[:, None]).all(2) & (boxes[None, :, 2:] <= ends[:, None]).all(2)
    empty = ~(whole & ~words.ignore).any(1) if len(readable) else np.zeros(_POSITIONS, bool)
    cut = (visible & ~whole).sum(1) / np.maximum(visible.sum(1), 1) + empty
    # the first one that is good enough: the best of a dense page would always be its margin
    best = int(np.argmin(np.maximum(cut, _FEW)))
    return float(positions[best, 0]), float(positions[best, 1])


def _flipped(view: PageView, width: float, settings: PageAugment, sampler: EffectSampler) -> PageView:
    if settings.flip == 0 or sampler.random() >= settings.flip:
        return view
    mirror = np.array(((-1.0, 0.0, width), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    return PageView(mirror @ view.matrix, view.scale, view.height, view.width)


def reduction(scale: float) -> int:
    """Return the reduction (1, 2, 4 or 8) at which a JPEG still has a pixel for each pixel of the warp."""
    return next((part for part in (8, 4, 2) if part * scale <= 1.1), 1)


def warp_page(image: Image, view: PageView, page: tuple[int, int]) -> Image:
    """Warp `image`, the page of (height, width) `page` or a reduced decoding of it, into the window; black outside."""
    height, width = image.shape[:2]
    matrix = view.matrix @ np.diag((page[1] / width, page[0] / height, 1.0))
    scale = view.scale * max(page[1] / width, page[0] / height)
    # only the visible part: strips exceed warpPerspective's maximum size, and shrinking reads less
    x0, y0, x1, y1 = _shown(matrix, view, height, width)
    part = image[y0:y1, x0:x1]
    shrink = max(1, int(1 / scale + 0.1))
    if shrink > 1:  # bilinear sampling skips pixels below half size
        size = (-(-part.shape[1] // shrink), -(-part.shape[0] // shrink))
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    step_x, step_y = (x1 - x0) / part.shape[1], (y1 - y0) / part.shape[0]
    matrix = matrix @ np.array(((step_x, 0.0, x0), (0.0, step_y, y0), (0.0, 0.0, 1.0)))
    half = np.array(((1.0, 0.0, 0.5), (0.0, 1.0, 0.5), (0.0, 0.0, 1.0)))  # OpenCV's origin is a pixel's centre
    matrix = np.linalg.inv(half) @ matrix @ half
    shown = cv2.warpPerspective(part, matrix, (view.width, view.height), flags=cv2.INTER_LINEAR)
    return np.asarray(shown, dtype=np.uint8)


def _shown(matrix: Floats, view: PageView, height: int, width: int) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of the visible part of the image, extended by two pixels."""
    corners = np.array(((0, 0), (view.width, 0), (view.width, view.height), (0, view.height)), np.float64)
    back = np.asarray(np.linalg.inv(matrix), np.float64)
    if (corners @ back[2, :2] + back[2, 2] <= 0).any():  # a corner beyond the horizon
        return 0, 0, width, height
    visible = transform(corners, back)
    x0, y0 = np.clip(np.floor(visible.min(0)) - 2, 0, (width - 1, height - 1)).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(visible.max(0)) + 2, (x0 + 1, y0 + 1), (width, height)).astype(int).tolist()
    return x0, y0, x1, y1


def degrade_page(image: Image, words: PageWords, settings: PageAugment, r: Random) -> Image:
    """Apply colour, light, blur, noise and JPEG, relative to the height of the smaller words in `image`."""
    sampler = EffectSampler(r, settings.strength, _NEVER)
    if settings.colour:
        image = recolour(image, sampler)
    sampler.strength *= settings.degrade
    if sampler.strength == 0:
        return image
    heights = words.heights()[~words.ignore]
    letters = float(np.clip(np.percentile(heights, 20), 8.0, 60.0)) if len(heights) else 20.0
    contrast = 2.0 * float(cv2.meanStdDev(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[1][0, 0])
    return degrade(image, sampler, contrast, 0.8 * letters)
