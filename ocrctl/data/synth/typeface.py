"""One face in this process: its cmap, a cache of glyph bitmaps at one size, and runs of glyphs put together from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError

EM = 40  # pixels per em of the cached bitmaps: between the smallest and the largest crop, so warping rarely magnifies
_CACHE_GLYPHS = 3000  # about 5 MB a face; Hangul alone has 11,172 syllables
_PROBES = "aegrd"

Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Glyph:
    """Bitmap of one character; `left` and `top` place it from the pen on the baseline (y down), `advance` moves the pen."""

    ink: Mask
    left: int
    top: int
    advance: float


class Typeface:
    """A font file opened at EM pixels. Not picklable on purpose: `open_typeface` gives each process its own."""

    def __init__(self, path: str) -> None:
        from fontTools.ttLib import TTFont, TTLibError
        from PIL import ImageFont

        self.path = path
        try:
            with TTFont(path, lazy=True, fontNumber=0) as font:
                self.cmap: frozenset[int] = frozenset(font.getBestCmap() or {})
            # BASIC layout: single glyphs need no shaping, and it is faster than raqm
            self._font: Any = ImageFont.truetype(path, EM, layout_engine=ImageFont.Layout.BASIC)
        except (OSError, TTLibError, KeyError, AssertionError) as error:
            raise InputError(f"{path}: not a readable font file ({error}).") from error
        self._glyphs: dict[str, Glyph | None] = {}
        self._kerning: dict[str, float] = {}
        self.unicase = self._is_unicase()

    def _is_unicase(self) -> bool:
        """Whether lower case letters are drawn as small capitals: such a face would give a label no reader can tell."""
        alike = 0
        for letter in _PROBES:
            small, large = self.glyph(letter), self.glyph(letter.upper())
            if small is None or large is None:
                return False
            a, b = (
                cv2.resize(g.ink, (12, 12), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
                for g in (small, large)
            )
            alike += float(np.corrcoef(a, b)[0, 1]) > 0.8
        return alike >= len(_PROBES) - 1

    def glyph(self, char: str) -> Glyph | None:
        """Bitmap of `char`, or None when the face has no glyph for it or draws nothing."""
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
        return Glyph(ink, left, top, self._font.getlength(char)) if ink.max() > 40 else None

    def draws(self, text: str) -> bool:
        """Whether each character has a glyph of its own and, in a face of small capitals, no lower case letter is asked for."""
        if self.unicase and text != text.upper():
            return False
        return all(self.glyph(char) is not None for char in text)

    def kern(self, pair: str) -> float:
        """Pixels by which the second character moves towards the first (negative: closer)."""
        found = self._kerning.get(pair)
        if found is None:
            length = self._font.getlength
            found = self._kerning[pair] = length(pair) - length(pair[0]) - length(pair[1])
        return found

    def run(self, text: str, spacing: float = 0.0, wobble: tuple[float, ...] = ()) -> Mask:
        """Bitmap (h, w) of `text` cropped to its ink. `spacing`: extra pixels after each character; `wobble`: pixels each one is lowered.

        `text` must pass `draws`.
        """
        pen, last = 0.0, ""
        placed: list[tuple[int, int, Mask]] = []
        for i, char in enumerate(text):
            glyph = self.glyph(char)
            assert glyph is not None, f"{self.path} has no {char!r}"
            if last:
                pen += self.kern(last + char) + spacing
            drop = round(wobble[i % len(wobble)]) if wobble else 0
            placed.append((round(pen) + glyph.left, glyph.top + drop, glyph.ink))
            pen += glyph.advance
            last = char
        x0, y0 = min(p[0] for p in placed), min(p[1] for p in placed)
        x1 = max(x + ink.shape[1] for x, _, ink in placed)
        y1 = max(y + ink.shape[0] for _, y, ink in placed)
        canvas = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for x, y, ink in placed:
            height, width = ink.shape
            part = canvas[y - y0 : y - y0 + height, x - x0 : x - x0 + width]
            np.maximum(part, ink, out=part)
        return canvas


@lru_cache(maxsize=None)
def open_typeface(path: str) -> Typeface:
    """The process's own `Typeface` of a font file. Raises InputError when it is not one."""
    return Typeface(path)
