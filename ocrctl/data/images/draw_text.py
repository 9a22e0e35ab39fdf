"""Draw text on images for previews of training and overlays of predict."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from ocrctl.data.images import Image

_WEIGHT = 400  # stroke weight, as in CSS


def draw_text(image: Image, text: str, at: tuple[int, int], colour: tuple[int, int, int], size: int) -> int:
    """Draw `text` on RGB uint8 (H, W, 3), baseline at (x, y), `size` pixels high. Characters that the font lacks are
    drawn as \\uXXXX. Returns the x after the text.

    Uses OpenCV 5's built-in Unicode font ("uni": Latin, Greek, Cyrillic, Arabic, kana, CJK, Hangul).
    """
    (x, _), _ = cv2.putText(image, _shown(text), at, colour, _font(), size, _WEIGHT)
    return int(x)


def text_width(text: str, size: int) -> int:
    """Return the width in pixels of `text` as `draw_text` draws it."""
    (x, _), _ = cv2.putText(np.zeros((1, 1, 3), np.uint8), _shown(text), (0, 0), (0, 0, 0), _font(), size, _WEIGHT)
    return int(x)


def _shown(text: str) -> str:
    return "".join(char if drawable(char) else f"\\u{ord(char):04x}" for char in text)


@lru_cache(maxsize=1)
def _font() -> cv2.FontFace:
    return cv2.FontFace("uni")


@lru_cache(maxsize=20000)
def drawable(char: str) -> bool:
    """Return whether the font has a glyph for `char`; for others it draws a question mark."""
    if char in "? " or not char.isprintable():
        return char in "? "
    image = _glyph(char)
    return not np.array_equal(image, _glyph("?"))


@lru_cache(maxsize=16)
def _glyph(char: str) -> Image:
    image = np.full((32, 48, 3), 255, np.uint8)
    cv2.putText(image, char, (4, 24), (0, 0, 0), _font(), 20, _WEIGHT)
    return image
