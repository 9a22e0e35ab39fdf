"""Colours of a word and its ground: any hue, with a bounded difference in brightness, so that a grey reader sees the word too."""

from __future__ import annotations

from random import Random

Colour = tuple[float, float, float]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, what RGB to grey uses


def luma(colour: Colour) -> float:
    """Brightness 0..255."""
    return colour[0] * _LUMA[0] + colour[1] * _LUMA[1] + colour[2] * _LUMA[2]


def shade(r: Random, level: float, chroma: float) -> Colour:
    """A colour near brightness `level` (0..255) whose channels part from grey by up to about `chroma` grey levels."""
    red, green, blue = r.random() - 0.5, r.random() - 0.5, r.random() - 0.5
    scale = 2 * chroma / max(abs(red), abs(green), abs(blue), 0.2)
    grey = luma((red, green, blue))
    low, high = 4.0, 251.0
    return (
        min(high, max(low, level + scale * (red - grey) * 0.5)),
        min(high, max(low, level + scale * (green - grey) * 0.5)),
        min(high, max(low, level + scale * (blue - grey) * 0.5)),
    )


def _ground_level(r: Random) -> float:
    pick = r.random()
    if pick < 0.3:
        return 200 + 52 * r.random()
    if pick < 0.58:
        return 5 + 50 * r.random()
    return 45 + 165 * r.random()


def pair(r: Random, low_contrast: float) -> tuple[Colour, Colour, float]:
    """Ground, text, and their difference in brightness (0..255).

    `low_contrast`: share of words that differ by 24 to 60 levels only; the others by 60 to 250, most of them strongly.
    """
    level = _ground_level(r)
    faint = r.random() < low_contrast
    wanted = 24 + 36 * r.random() if faint else 60 + 190 * r.random() ** 0.8
    room_up, room_down = 250 - level, level - 4
    up = r.random() < room_up / (room_up + room_down)
    if (room_up if up else room_down) < min(wanted, 60):
        up = not up
    other = level + min(wanted, room_up) if up else level - min(wanted, room_down)
    chroma_ground = 110 * r.random() if r.random() < 0.6 else 12 * r.random()
    chroma_text = 120 * r.random() if r.random() < 0.45 else 10 * r.random()
    if faint:  # faint words are faint in hue as well: the ground's hue carries over
        chroma_text = 0.3 * chroma_text
    ground, text = shade(r, level, chroma_ground), shade(r, other, chroma_text)
    gap = luma(text) - luma(ground)
    if abs(gap) < 24:  # clipping a vivid hue ate the difference: fall back to greys
        ground, text = shade(r, level, 8), shade(r, other, 4)
        gap = luma(text) - luma(ground)
    return ground, text, abs(gap)
