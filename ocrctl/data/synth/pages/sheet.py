"""A flat sheet, an image with words on it, which one matrix warps onto a page."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import cv2
import numpy as np

from ocrctl.data.augment.effects import blur
from ocrctl.data.images import Image
from ocrctl.data.polygons.page_words import Floats
from ocrctl.data.synth.pages.canvas import Canvas
from ocrctl.data.synth.pages.text import PageText, measure, space
from ocrctl.data.synth.pages.word_mark import Mark, Style
from ocrctl.data.synth.words.fonts import FontFile
from ocrctl.data.synth.words.layers import fade
from ocrctl.data.synth.words.palette import Colour


class Sheet:
    """RGB uint8 `image` (H, W, 3) with marks that are added line by line; units are its pixels."""

    def __init__(self, image: Image, text: PageText, r: Random) -> None:
        self.image = image
        self.height, self.width = image.shape[:2]
        self.text = text
        self.r = r
        self.marks: list[Mark] = []

    def line(
        self, words: Sequence[str], font: FontFile, x: float, y: float, size: float, style: Style, align: float = 0.0,
        limit: float = 1e9,
    ) -> float:  # fmt: skip
        """Lay out words along the baseline `y`. Returns where the line ends. `align`: 0 starts at `x`, 0.5 is centred
        on it, 1 ends there; words beyond `limit` units in total are skipped."""
        chosen: list[tuple[str, float]] = []
        used = 0.0
        for word in words:
            drawn = self.text.drawable(self.r, font, word)
            length = measure(font, drawn, size)
            if not drawn or used + length > limit:
                break
            chosen.append((drawn, used))
            used += length + space(font, size)
        used -= space(font, size) if chosen else 0.0
        start = x - align * used
        self.marks += [Mark(word, font, start + offset, y, size, style) for word, offset in chosen]
        return start + used

    def rule(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, thick: float = 1.0) -> None:
        """Draw a straight line."""
        start, end = (round(x0), round(y0)), (round(x1), round(y1))
        cv2.line(self.image, start, end, colour, max(1, round(thick)), cv2.LINE_AA)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, filled: bool) -> None:
        """Draw a rectangle."""
        corners = (round(x0), round(y0)), (round(x1), round(y1))
        cv2.rectangle(self.image, *corners, colour, -1 if filled else 1)

    def cut_below(self, y: float) -> None:
        """Crop the sheet at `y`."""
        self.image = self.image[: max(8, min(self.height, round(y)))]
        self.height = self.image.shape[0]

    def show(self, canvas: Canvas, matrix: Floats, shadow: float = 0.0) -> None:
        """Draw the sheet on the canvas, with a soft shadow of that opacity, and its words."""
        if shadow:
            reach = max(4, self.width // 40)
            dark = np.zeros((self.height + 2 * reach, self.width + 2 * reach), np.uint8)
            dark[reach:-reach, reach:-reach] = 255
            dark = fade(blur(dark, reach / 2.5), shadow)
            moved = matrix @ np.array(((1.0, 0.0, -reach * 0.6), (0.0, 1.0, -reach * 0.4), (0.0, 0.0, 1.0)))
            canvas.cover(np.zeros((*dark.shape, 3), np.uint8), moved, dark)
        canvas.cover(self.image, matrix)
        for mark in self.marks:
            canvas.write(mark, matrix)
