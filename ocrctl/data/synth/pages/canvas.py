"""Canvas that words are drawn on, each warped once from its glyphs, with their outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.data.images import Image, Mask
from ocrctl.data.images.warp import bend, bend_points
from ocrctl.data.polygons.page_words import Floats, PageWords
from ocrctl.data.synth.pages.word_mark import Mark, Style
from ocrctl.data.synth.words.layers import fade, paint, shift, thicken
from ocrctl.data.synth.words.palette import luma
from ocrctl.data.synth.words.typeface import EM, open_typeface

_LEVELS = (24, 48, 96, 192)  # pixels per em: the next larger is warped, so that a glyph is hardly magnified
_ARC_POINTS = 7  # along each side of curved text, as in CTW1500 and Total-Text
_PAD = 0.5  # pixels between polygon and ink, for the warp's interpolation
_HALF = np.array(((1.0, 0.0, 0.5), (0.0, 1.0, 0.5), (0.0, 0.0, 1.0)))


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A drawn word: outline and character quads in the pixels of its mask, mapped by `matrix`."""

    text: str
    outline: Sequence[Sequence[float]]
    quads: Sequence[Sequence[Sequence[float]]]
    matrix: Floats


class Canvas:
    """RGB uint8 `image` (H, W, 3) and the words drawn into it so far."""

    def __init__(self, image: Image, smallest: float) -> None:
        self.image = image
        self.height, self.width = image.shape[:2]
        self._smallest = smallest
        self._drawn: list[_Drawn] = []
        self.contrasts: list[float] = []

    def words(self) -> PageWords:
        """Return all words, cropped to the image; words too small to read are ignored."""
        drawn = self._drawn
        counts = [len(word.outline) for word in drawn]
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        characters = np.array([len(word.quads) for word in drawn], np.int64)
        matrices = np.stack([word.matrix for word in drawn]) if drawn else np.zeros((0, 3, 3))
        outline = np.array([point for word in drawn for point in word.outline], np.float64).reshape(-1, 2)
        quads = np.array([quad for word in drawn for quad in word.quads], np.float64).reshape(-1, 2)
        every = PageWords(
            outset(apply_each(outline, matrices.repeat(counts, axis=0)), offsets, _PAD),
            offsets,
            np.zeros(len(drawn), np.bool_),
            [word.text for word in drawn],
            apply_each(quads, matrices.repeat(4 * characters, axis=0)).reshape(-1, 4, 2),
            np.concatenate(([0], np.cumsum(characters))).astype(np.int64),
        )
        every = every.within(self.height, self.width)
        return replace(every, ignore=every.ignore | (every.heights() < self._smallest))

    def cover(self, image: Image, matrix: Floats, shade: Mask | None = None) -> None:
        """Draw a flat image (h, w, 3) warped by `matrix` (3, 3); `shade` (h, w) is its opacity."""
        height, width = image.shape[:2]
        placed = self._visible_part(width, height, matrix)
        if placed is None:
            return
        x0, y0, x1, y1, local = placed
        size = (x1 - x0, y1 - y0)
        mask = np.full((height, width), 255, np.uint8) if shade is None else shade
        over = cv2.warpPerspective(image, local, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        visible = cv2.warpPerspective(mask, local, size, flags=cv2.INTER_LINEAR)
        part = self.image[y0:y1, x0:x1]
        part[:] = paint(part, np.asarray(visible, np.uint8), np.asarray(over, np.uint8))

    def write(self, mark: Mark, matrix: Floats) -> None:
        """Draw a word of a sheet warped by `matrix` (3, 3). Parts outside the canvas are skipped."""
        length = open_typeface(mark.font.path).length(mark.text) * mark.size / EM
        if not self._near(mark, length, matrix):
            return
        em, pixels = self._level(mark, matrix)
        run = open_typeface(mark.font.path, em).lay(mark.text)
        unit = mark.size / em
        # hinting rounds each glyph's advance: keep the measured length, or words would overlap
        wide = length / max(run.advance, 1.0)
        to_sheet = np.array(
            ((wide, 0.0, mark.x + run.left * wide), (0.0, unit, mark.y + run.top * unit), (0.0, 0.0, 1.0))
        )
        height, width = run.ink.shape
        quads = [quad(x0, 0, x1, height) for x0, _, x1, _ in run.boxes]
        placed = matrix @ to_sheet
        drawn = _Drawn(mark.text, quad(0, 0, width, height), quads, placed)
        self._draw(run.ink, placed, em / pixels, mark.style, [drawn])

    def write_curved(self, marks: list[Mark], matrix: Floats, arc: float) -> None:
        """Draw marks of one font, size and baseline along an arc of `arc` radians: above 0 arched up, below 0 down.

        The sheet's (0, 0) is the centre of the flat line's top.
        """
        first = marks[0]
        em, pixels = self._level(first, matrix)
        typeface, unit = open_typeface(first.font.path, em), first.size / em
        runs = [typeface.lay(mark.text) for mark in marks]
        top = min(run.top for run in runs)
        lefts = [round(mark.x / unit) + run.left for mark, run in zip(marks, runs, strict=True)]
        lefts = [left - min(lefts) for left in lefts]
        low = max(run.top + run.ink.shape[0] for run in runs)
        far = max(x + run.ink.shape[1] for x, run in zip(lefts, runs, strict=True))
        strip = np.zeros((low - top, far), np.uint8)
        for x, run in zip(lefts, runs, strict=True):
            part = strip[run.top - top :, x:][: run.ink.shape[0], : run.ink.shape[1]]
            np.maximum(part, run.ink, out=part)
        mask = bend(strip, arc)
        placed = matrix @ np.array(((unit, 0.0, -mask.shape[1] * unit / 2), (0.0, unit, 0.0), (0.0, 0.0, 1.0)))
        drawn = []
        for mark, run, x in zip(marks, runs, lefts, strict=True):
            y0, y1 = run.top - top, run.top - top + run.ink.shape[0]
            along = np.linspace(x - 1, x + run.ink.shape[1] + 1, _ARC_POINTS)
            both = np.concatenate((along, along[::-1]))
            sides = np.column_stack((both, np.repeat((y0 - 0.5, y1), _ARC_POINTS)))
            cells = np.array([quad(x + x0, y0, x + x1, y1) for x0, _, x1, _ in run.boxes], np.float64)
            outline, quads = (bend_points(p.reshape(-1, 2), far, low - top, arc) for p in (sides, cells))
            drawn.append(_Drawn(mark.text, outline.tolist(), quads.reshape(-1, 4, 2).tolist(), placed))
        self._draw(mask, placed, em / pixels, first.style, drawn)

    def _near(self, mark: Mark, length: float, matrix: Floats) -> bool:
        """Whether a word may be visible: its baseline, extended by two ems, reaches into the canvas."""
        (x0, y0), (x1, y1) = apply(matrix, mark.x, mark.y), apply(matrix, mark.x + length, mark.y)
        room = 2 * mark.size / max(length, 1e-9) * hypot(x1 - x0, y1 - y0)
        across = max(x0, x1) > -room and min(x0, x1) < self.width + room
        return across and max(y0, y1) > -room and min(y0, y1) < self.height + room

    def _level(self, mark: Mark, matrix: Floats) -> tuple[int, float]:
        """Return the em to draw with, and the em at the start of the word, in pixels."""
        (x0, y0), (x1, y1) = apply(matrix, mark.x, mark.y), apply(matrix, mark.x, mark.y - mark.size)
        pixels = hypot(x1 - x0, y1 - y0)
        return next((level for level in _LEVELS if level >= pixels), _LEVELS[-1]), max(pixels, 0.5)

    def _draw(self, ink: Mask, matrix: Floats, shrink: float, style: Style, drawn: list[_Drawn]) -> None:
        """Draw `ink` warped by `matrix`, about `shrink` times smaller, and record its words."""
        height, width = ink.shape
        placed = self._visible_part(width, height, matrix)
        if placed is None:
            return
        x0, y0, x1, y1, local = placed
        if shrink >= 2:  # bilinear sampling skips pixels below half size
            small = max(1, round(width / int(shrink))), max(1, round(height / int(shrink)))
            ink = np.asarray(cv2.resize(ink, small, interpolation=cv2.INTER_AREA), np.uint8)
            wide, high = width / small[0], height / small[1]
            local = local @ np.array(((wide, 0.0, wide / 2 - 0.5), (0.0, high, high / 2 - 0.5), (0.0, 0.0, 1.0)))
        visible = np.asarray(cv2.warpPerspective(ink, local, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR), np.uint8)
        self._lay_on(self.image[y0:y1, x0:x1], visible, style)
        self._drawn += drawn

    def _lay_on(self, part: Image, visible: Mask, style: Style) -> None:
        red, green, blue, _ = cv2.mean(part)
        self.contrasts.append(abs(luma((red, green, blue)) - luma(style.colour)))
        stroke = max(1, round(0.03 * min(part.shape[:2])))
        if style.shadow:
            dark = (5.0, 5.0, 8.0) if luma(style.colour) > 110 else (160.0, 160.0, 155.0)
            part[:] = paint(part, fade(shift(visible, stroke, stroke), style.shadow), dark)
        if style.rim is not None:
            part[:] = paint(part, thicken(visible, stroke), style.rim)
        part[:] = paint(part, visible, style.colour)

    def _visible_part(self, width: float, height: float, matrix: Floats) -> tuple[int, int, int, int, Floats] | None:
        """Return x0, y0, x1, y1 of the canvas that a flat image covers, and the matrix into that part; None when it is
        outside the canvas or beyond the horizon."""
        fall_x, fall_y, rest = matrix[2].tolist()
        if min(rest, rest + fall_x * width, rest + fall_y * height, rest + fall_x * width + fall_y * height) < 1e-3:
            return None
        xs, ys = zip(*(apply(matrix, x, y) for x in (0.0, width) for y in (0.0, height)), strict=True)
        left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
        margin = 3.0 + 0.05 * min(right - left, bottom - top)  # room for rims and shadows
        x0, y0 = max(0, int(left - margin)), max(0, int(top - margin))
        x1, y1 = min(self.width, int(right + margin)), min(self.height, int(bottom + margin))
        if x0 >= x1 or y0 >= y1:
            return None
        # OpenCV's origin is a pixel's centre
        local = np.array(((1.0, 0.0, -x0 - 0.5), (0.0, 1.0, -y0 - 0.5), (0.0, 0.0, 1.0))) @ matrix
        return x0, y0, x1, y1, local @ _HALF


def outset(points: Floats, offsets: NDArray[np.int64], distance: float) -> Floats:
    """Move the edges of clockwise polygons, points (P, 2) and offsets (N + 1,), outward by `distance`."""
    after, before = np.arange(1, len(points) + 1), np.arange(-1, len(points) - 1)
    after[offsets[1:] - 1], before[offsets[:-1]] = offsets[:-1], offsets[1:] - 1
    edge = points[after] - points
    normal = np.stack((edge[:, 1], -edge[:, 0]), 1) / np.maximum(np.hypot(*edge.T), 1e-9)[:, None]
    both = normal + normal[before]
    size = np.maximum((both * both).sum(1, keepdims=True), 0.5)
    return np.asarray(points + 2 * distance * both / size)


def apply(matrix: Floats, x: float, y: float) -> tuple[float, float]:
    """Apply a matrix to one point; faster than arrays for a few points."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    depth = g * x + h * y + i
    return (a * x + b * y + c) / depth, (d * x + e * y + f) / depth


def apply_each(points: Floats, matrices: Floats) -> Floats:
    """Apply to each of points (n, 2) its own of `matrices` (n, 3, 3)."""
    mapped = np.einsum("nij,nj->ni", matrices[:, :, :2], points) + matrices[:, :, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def quad(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    """Return the corners of an upright box, clockwise from the top left."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
