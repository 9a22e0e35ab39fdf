"""Split labelled words into character quads, and link neighbours."""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
import shapely
from numpy.typing import NDArray

from ocrctl.config.kept_aspect import TALL

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Widths in units of a letter such as "n", about those of common typefaces; one number for a class is near enough for a
# blob that fades out.
_NARROW, _WIDE, _FULL = 0.5, 1.5, 1.8
_WIDTHS = {**dict.fromkeys("ijl1I|!.,:;'`", _NARROW), **dict.fromkeys("frt()[]{}/\\\"-° ", 0.65),
           **dict.fromkeys("mwMW@%", _WIDE), **dict.fromkeys("ABCDGHKNOQRUVXYZ&", 1.25)}  # fmt: skip


def widths(text: str) -> Floats:
    """Estimate the widths (len(text),) of characters, in any unit: full-width ones (Hangul, Han, kana) count 1.8."""
    return np.array([_width(char) for char in text])


@cache
def _width(char: str) -> float:
    if _mark(char):
        return 0.0
    return _WIDTHS.get(char, _FULL if unicodedata.east_asian_width(char) in ("W", "F") else 1.0)


def split(polygon: Floats, text: str) -> Floats:
    """Compute quads (C, 4, 2) of the C visible characters of `text` along polygon (n, 2), clockwise from top left.

    The long sides are those of `data/images/rectify.py`: first half of the points from left to right, second half back;
    a tall quad of several characters runs down. Other polygons are split along their minimum-area rectangle.
    """
    if len(polygon) % 2 or len(polygon) < 4:
        polygon = _min_area_rectangle(polygon)
    half = len(polygon) // 2
    if half == 2 and len(text) > 1:
        across, down = (np.hypot(*(polygon[a] - polygon[b])) for a, b in ((1, 0), (2, 1)))
        if down >= TALL * across:
            polygon = np.roll(polygon, -1, axis=0)
    ends = np.concatenate(([0.0], np.cumsum(widths(text))))
    if not ends[-1]:
        return np.zeros((0, 4, 2))
    top, bottom = _along(polygon[:half], ends / ends[-1]), _along(polygon[half:][::-1], ends / ends[-1])
    quads = np.stack((top[:-1], top[1:], bottom[1:], bottom[:-1]), 1)
    inked = [not char.isspace() and not _mark(char) for char in text]
    return np.asarray(quads[np.array(inked)])


def links(characters: Floats, offsets: Ints) -> Floats:
    """Compute quads (L, 4, 2) between neighbours of a word: Baek et al. 2019, section 3.2.1.

    The diagonals of a character's quad part it into four triangles; the middles of the upper and lower one of both
    neighbours are the corners. characters (C, 4, 2), offsets (N + 1,): word i owns characters[offsets[i]:offsets[i+1]].
    """
    middle = _crossing(characters)
    upper = (characters[:, 0] + characters[:, 1] + middle) / 3
    lower = (characters[:, 2] + characters[:, 3] + middle) / 3
    quads = np.stack((upper[:-1], upper[1:], lower[1:], lower[:-1]), 1) if len(characters) else characters
    inner = np.ones(max(len(characters) - 1, 0), bool)
    ends = offsets[1:-1]
    inner[ends[(ends > 0) & (ends < len(characters))] - 1] = False
    return np.asarray(quads[inner])


def _crossing(quads: Floats) -> Floats:
    """Compute the crossing (C, 2) of the diagonals; the mean of the corners where they do not cross."""
    one, two, apart = quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1], quads[:, 1] - quads[:, 0]
    cross = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    flat = np.abs(cross) < 1e-9
    share = (apart[:, 0] * two[:, 1] - apart[:, 1] * two[:, 0]) / np.where(flat, 1, cross)
    flat |= (share < 0) | (share > 1)
    return np.where(flat[:, None], quads.mean(1), quads[:, 0] + share[:, None] * one)


def _min_area_rectangle(polygon: Floats) -> Floats:
    """Return the corners (4, 2) of the minimum-area rectangle, clockwise from the one nearest to the first point."""
    box = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shapely.MultiPoint(polygon)))[:-1]
    if len(box) != 4:  # the points lie on a line
        return np.repeat(polygon[:1], 4, axis=0)
    x, y = box.T
    if np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) < 0:
        box = box[::-1]
    return np.roll(box, -int(np.argmin(np.abs(box - polygon[0]).sum(1))), axis=0)


def _along(line: Floats, shares: Floats) -> Floats:
    """Return the points at `shares` 0 to 1 of the length of a polyline (n, 2)."""
    steps = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))))
    return np.column_stack([np.interp(shares * steps[-1], steps, line[:, axis]) for axis in (0, 1)])


def _mark(char: str) -> bool:
    """Return whether a character combines with the one before: a separate accent."""
    return unicodedata.combining(char) > 0
