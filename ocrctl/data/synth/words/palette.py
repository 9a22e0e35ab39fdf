"""Sample colours of a word and its background: any hue, different brightness, so that grey images are legible."""

from __future__ import annotations

from random import Random

Colour = tuple[float, float, float]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, what RGB to grey uses


def luma(colour: Colour) -> float:
    """Return the brightness, 0..255."""
    return colour[0] * _LUMA[0] + colour[1] * _LUMA[1] + colour[2] * _LUMA[2]


def shade(r: Random, level: float, chroma: float) -> Colour:
    """Sample a colour near brightness `level` (0..255) whose channels differ from grey by up to about `chroma` levels.

    Red to blue has twice the range of green to magenta: signs are seldom neon green or pink.
    """
    warm, green = 2 * r.random() - 1, r.random() - 0.5
    red, blue = warm + 0.5 * (r.random() - 0.5), -warm
    grey = luma((red, green, blue))
    scale = chroma / max(abs(red - grey), abs(green - grey), abs(blue - grey), 0.3)
    low, high = 3.0, 252.0
    return (
        min(high, max(low, level + scale * (red - grey))),
        min(high, max(low, level + scale * (green - grey))),
        min(high, max(low, level + scale * (blue - grey))),
    )


def _background_level(r: Random) -> float:
    pick = r.random()
    if pick < 0.3:
        return 200 + 52 * r.random()
    if pick < 0.58:
        return 5 + 50 * r.random()
    return 45 + 165 * r.random()


def pair(r: Random, faint: bool) -> tuple[Colour, Colour, float]:
    """Sample background, text, and their difference in brightness (0..255).

    `faint` words differ by 32 to 65 levels, the others by 65 to 250, most of them strongly.
    """
    level = _background_level(r)
    wanted = 32 + 33 * r.random() if faint else 65 + 185 * r.random() ** 0.7
    if level < 60:
        wanted += 20 * (1 - level / 60)  # the same difference is harder to see when dark
    room_up, room_down = 250 - level, level - 4
    up = r.random() < room_up / (room_up + room_down)
    if (room_up if up else room_down) < min(wanted, 70):
        up = not up
    other = level + min(wanted, room_up) if up else level - min(wanted, room_down)
    chroma_background = 100 * r.random() ** 1.5 if r.random() < 0.6 else 10 * r.random()
    chroma_text = 110 * r.random() if r.random() < 0.4 else 10 * r.random()
    if faint:
        chroma_text *= 0.3
    background, text = shade(r, level, chroma_background), shade(r, other, chroma_text)
    gap = luma(text) - luma(background)
    if abs(gap) < 32:  # clipping a vivid hue reduced the difference: fall back to near greys
        background, text = shade(r, level, 8), shade(r, other, 4)
        gap = luma(text) - luma(background)
    return background, text, abs(gap)
