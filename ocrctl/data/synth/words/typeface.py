"""A font opened in this process: its cmap, a cache of glyph bitmaps at one size, and text set from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from ocrctl.data.images import Mask
from ocrctl.errors import InputError
from ocrctl.files.regular import check_regular

EM = 40  # pixels per em of the cached bitmaps: between the smallest and the largest crop, so that few are magnified
_CACHE_GLYPHS = 3000  # about 5 MB per font; Hangul alone has 11,172 syllables
_PROBES = "aegrd"


@dataclass(frozen=True, slots=True)
class Glyph:
    """Bitmap of one character; `left`, `top`: offset from the pen on the baseline (y down); `advance`: pen movement."""

    ink: Mask
    left: int
    top: int
    width: int
    height: int
    advance: float


@dataclass(frozen=True, slots=True)
class Run:
    """Text as a bitmap (h, w) cropped to its ink. `boxes`: x0, y0, x1, y1 of each character's glyph in it; `left`,
    `top`: offset from the pen on the baseline; `advance`: the final pen position."""

    ink: Mask
    boxes: list[tuple[int, int, int, int]]
    left: int
    top: int
    advance: float


class Typeface:
    """A font file opened at `em` pixels. Not picklable: `open_typeface` gives each process its own."""

    def __init__(self, path: str, em: int = EM) -> None:
        from fontTools.ttLib import TTFont, TTLibError
        from PIL import ImageFont

        self.path = path
        self.em = em
        self._glyphs: dict[str, Glyph | None] = {}
        self._kerning: dict[str, float] = {}
        try:
            check_regular(path)
            if em == EM:
                with TTFont(path, lazy=True, fontNumber=0) as font:
                    self.cmap: frozenset[int] = frozenset(font.getBestCmap() or {})
                    self._has_kerning = "kern" in font  # the only table BASIC layout reads
            # BASIC layout: single glyphs need no shaping, and it is faster than raqm
            self._font: Any = ImageFont.truetype(path, em, layout_engine=ImageFont.Layout.BASIC)
        except (OSError, TTLibError, KeyError, AssertionError) as error:
            raise InputError(f"{path}: not a readable font file ({error}).") from error
        self.gap = float(self._font.getlength(" "))  # pixels between words
        if em == EM:
            self.unicase = self._is_unicase()
            self.stroke = self._stroke()
        else:  # reading tables takes a tenth of a second: reuse those of the base size
            base = open_typeface(path)
            self.cmap, self._has_kerning, self.unicase = base.cmap, base._has_kerning, base.unicase
            self.stroke = base.stroke * em / EM

    def _is_unicase(self) -> bool:
        """Whether lower case letters are drawn as small capitals, so that the case of a label would be ambiguous.

        Bitmaps of a letter's two cases correlate by 0.15 to 0.55 over the probes in common fonts, by 0.8 in Amatic SC.
        """
        alike = 0.0
        for letter in _PROBES:
            small, large = self.glyph(letter), self.glyph(letter.upper())
            if small is None or large is None:
                return False
            a, b = (
                cv2.resize(g.ink, (12, 12), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
                for g in (small, large)
            )
            alike += float(np.corrcoef(a, b)[0, 1])
        return alike > 0.67 * len(_PROBES)

    def _stroke(self) -> float:
        """Return the stroke width in pixels: twice the area over the perimeter. Thin fonts are degraded less."""
        area = edges = 0.0
        for glyph in filter(None, map(self.glyph, _PROBES)):
            ink = np.pad(glyph.ink, 1).astype(np.float32) / 255
            area += float(ink.sum())
            edges += float(np.abs(np.diff(ink, axis=0)).sum() + np.abs(np.diff(ink, axis=1)).sum())
        # the staircase of a pixel outline is 4 / pi times as long as the outline
        return 2 * area / (edges * 0.785) if edges else 0.08 * self.em

    def glyph(self, char: str) -> Glyph | None:
        """Return the bitmap of `char`, or None when the font has no glyph for it or draws nothing."""
        try:
            return self._glyphs[char]
        except KeyError:
            if len(self._glyphs) >= _CACHE_GLYPHS:
                self._glyphs.clear()
            made = self._glyphs[char] = self._draw(char) if ord(char) in self.cmap else None
            return made

    def _draw(self, char: str) -> Glyph | None:
        mask, (left, top) = self._font.getmask2(char, "L", anchor="ls")
        width, height = mask.size
        if not width or not height:
            return None
        ink = np.frombuffer(bytes(mask), np.uint8).reshape(height, width).copy()
        return Glyph(ink, left, top, width, height, self._font.getlength(char)) if ink.max() > 40 else None

    def draws(self, text: str) -> bool:
        """Return whether each character has its own glyph; in a font of small capitals, lower case has none."""
        if self.unicase and text != text.upper():
            return False
        return None not in map(self.glyph, text)

    def kern(self, pair: str, advance: float) -> float:
        """Return the kerning of `pair` in pixels (below 0: closer); `advance`: the unkerned advance of both."""
        found = self._kerning.get(pair)
        if found is None:
            found = self._kerning[pair] = self._font.getlength(pair) - advance
        return found

    def length(self, text: str) -> float:
        """Return the advance of `text` in pixels, without kerning; `text` must pass `draws`."""
        return sum(glyph.advance for glyph in map(self.glyph, text) if glyph is not None)

    def run(self, text: str, spacing: float = 0.0, wobble: tuple[float, ...] = ()) -> Mask:
        """Return the bitmap (h, w) of `text` cropped to its ink; see `lay`."""
        return self.lay(text, spacing, wobble).ink

    def lay(self, text: str, spacing: float = 0.0, wobble: tuple[float, ...] = ()) -> Run:
        """Set `text` in one line; it must pass `draws`.

        `spacing`: extra pixels after each character. `wobble`: pixels by which characters are lowered, in a cycle.
        """
        pen, before, last = 0.0, 0.0, ""
        placed: list[tuple[int, int, int, int, Mask]] = []
        left = top = 1 << 20
        right = bottom = -left
        for i, char in enumerate(text):
            glyph = self._glyphs.get(char) or self.glyph(char)
            assert glyph is not None, f"{self.path} has no {char!r}"
            if self._has_kerning and last:
                pen += self.kern(last + char, before + glyph.advance)
            x0, y0 = int(pen + 0.5) + glyph.left, glyph.top
            if wobble:
                y0 += round(wobble[i % len(wobble)])
            x1, y1 = x0 + glyph.width, y0 + glyph.height
            placed.append((x0, y0, x1, y1, glyph.ink))
            left, top = left if left < x0 else x0, top if top < y0 else y0
            right, bottom = right if right > x1 else x1, bottom if bottom > y1 else y1
            before, last = glyph.advance, char
            pen += before + spacing
        canvas = np.zeros((bottom - top, right - left), np.uint8)
        free = left
        for x0, y0, x1, y1, ink in placed:
            part = canvas[y0 - top : y1 - top, x0 - left : x1 - left]
            if x0 >= free:
                part[:] = ink  # the area is empty: a copy is faster than a maximum
            else:
                cv2.max(part, ink, part)
            free = free if free > x1 else x1
        boxes = [(x0 - left, y0 - top, x1 - left, y1 - top) for x0, y0, x1, y1, _ in placed]
        return Run(canvas, boxes, left, top, pen)


@cache
def open_typeface(path: str, em: int = EM) -> Typeface:
    """Return this process's `Typeface` of a font file at `em` pixels. Raises InputError when it is not a font."""
    return Typeface(path, em)
