"""Draw curved text: on a wall, on a plate, and around the edge of a badge."""

from __future__ import annotations

from math import cos, pi
from random import Random

import cv2
import numpy as np

from ocrctl.data.augment.sampler import EffectSampler
from ocrctl.data.polygons.page_words import transform
from ocrctl.data.synth.pages.background import plate
from ocrctl.data.synth.pages.canvas import Canvas
from ocrctl.data.synth.pages.placement import Box, contrasting_style, free_matrix, sample_style
from ocrctl.data.synth.pages.sheet import Sheet
from ocrctl.data.synth.pages.text import PageText, measure, space
from ocrctl.data.synth.pages.word_mark import Mark, Style
from ocrctl.data.synth.words.fonts import FontFile
from ocrctl.data.synth.words.palette import pair


def curved_line(
    r: Random, text: PageText, canvas: Canvas, sampler: EffectSampler, width: float, taken: list[Box]
) -> None:
    """Draw a curved line, on the background or on a plate."""
    font = text.font(r, kind="any")
    marks, length = _flat(r, text, font, text.name(r, 1 + int(3 * r.random()), r.random() < 0.5))
    if len(marks) == 0:
        return
    size = min(width / length, canvas.height * 0.12)
    arc = (0.4 + 1.4 * r.random()) * min(1.0, length / 6) * (1 if r.random() < 0.65 else -1)
    rise = length * size * abs(arc) / 8
    matrix = free_matrix(r, canvas, sampler, length * size * 1.1, rise + size * 1.6, taken)
    if matrix is None:
        return
    style = contrasting_style(r, canvas, transform(np.array(((0.0, 0.0), (length * size, rise + size))), matrix))
    if r.random() < 0.4:
        background, colour, _ = pair(r, False)
        sheet = Sheet(
            plate(r, round(rise + size * 1.6), round(length * size * 1.1), background, 15 * r.random()), text, r
        )
        sheet.show(canvas, matrix)
        style = sample_style(r, colour)
    middle = np.array(((1.0, 0.0, length * size * 0.55), (0.0, 1.0, size * 0.25), (0.0, 0.0, 1.0)))
    canvas.write_curved([_sized(mark, size, style) for mark in marks], matrix @ middle, arc)


def badge(
    r: Random, text: PageText, canvas: Canvas, sampler: EffectSampler, across: float,
    taken: list[Box],
) -> None:  # fmt: skip
    """Draw a disc with a line along its upper edge, often one along the lower edge, and one in the centre."""
    across = max(60.0, min(across, canvas.height * 0.6))
    matrix = free_matrix(r, canvas, sampler, across, across, taken)
    if matrix is None:
        return
    background, colour, _ = pair(r, False)
    side, middle = round(across), across / 2
    disc = np.zeros((side, side), np.uint8)
    cv2.circle(disc, (side // 2, side // 2), side // 2 - 1, 255, -1, cv2.LINE_AA)
    image = plate(r, side, side, background, 20 * r.random())
    if r.random() < 0.6:
        for radius in (0.47, 0.29 if r.random() < 0.5 else 0.46):
            cv2.circle(image, (side // 2, side // 2), int(side * radius), colour, max(1, side // 120), cv2.LINE_AA)
    canvas.cover(image, matrix, disc)
    style, font = Style(colour), text.font(r, kind="any")
    inner, most = across * 0.33, across * (0.09 + 0.04 * r.random())
    for sign in (1, -1) if r.random() < 0.7 else (1,):
        marks, length = _flat(r, text, font, text.name(r, 1 + int(3 * r.random()), r.random() < 0.7))
        if not marks:
            continue
        size = min(most, inner * 0.85 * pi / length)
        arc = length * size / inner
        top = middle - inner - size * 0.75 if sign > 0 else middle + inner * cos(arc / 2)
        move = np.array(((1.0, 0.0, middle), (0.0, 1.0, top), (0.0, 0.0, 1.0)))
        canvas.write_curved([_sized(mark, size, style) for mark in marks], matrix @ move, sign * arc)
    word = text.drawable(r, font, text.name(r, 1, True)[0])
    if word and r.random() < 0.8:
        size = min(across * 0.2, across * 0.5 / max(measure(font, word, 1.0), 0.1))
        x = middle - measure(font, word, size) / 2
        canvas.write(Mark(word, font, x, middle + size * 0.35, size, style), matrix)


def _flat(r: Random, text: PageText, font: FontFile, words: list[str]) -> tuple[list[Mark], float]:
    """Lay out words side by side at size 1. Returns the marks and the length of the line."""
    marks: list[Mark] = []
    x = 0.0
    for word in words:
        if drawn := text.drawable(r, font, word):
            marks.append(Mark(drawn, font, x, 0.0, 1.0, Style((0.0, 0.0, 0.0))))
            x += measure(font, drawn, 1.0) + space(font, 1.0) * 1.3
    return marks, x - space(font, 1.0) * 1.3


def _sized(mark: Mark, size: float, style: Style) -> Mark:
    return Mark(mark.text, mark.font, mark.x * size, size * 0.8, size, style)
