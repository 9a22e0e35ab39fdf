"""Draw the text of a scene: plates, posters, round badges, and letters directly on the wall, each at its own angle."""

from __future__ import annotations

from random import Random

import cv2
import numpy as np

from ocrctl.data.augment.sampler import EffectSampler
from ocrctl.data.polygons.page_words import Floats, transform
from ocrctl.data.synth.pages.background import plate
from ocrctl.data.synth.pages.canvas import Canvas
from ocrctl.data.synth.pages.config import SynthPagesConfig
from ocrctl.data.synth.pages.curved_text import badge, curved_line
from ocrctl.data.synth.pages.placement import Box, contrasting_style, free_matrix, sample_style
from ocrctl.data.synth.pages.sheet import Sheet
from ocrctl.data.synth.pages.text import CODES, DATES, PRICES, PageText, measure, space
from ocrctl.data.synth.pages.word_mark import Mark
from ocrctl.data.synth.words.fonts import FontFile
from ocrctl.data.synth.words.palette import luma, pair, shade


def signs(r: Random, text: PageText, canvas: Canvas, config: SynthPagesConfig, sampler: EffectSampler) -> None:
    """Add one to nine signs that do not cover each other."""
    taken: list[Box] = []
    for _ in range(1 + int(9 * r.random() ** 1.3)):
        width = canvas.width * (0.1 + 0.6 * r.random() ** 1.4)
        curved = r.random() < config.curved
        if curved and r.random() < 0.5:
            badge(r, text, canvas, sampler, width * 0.8, taken)
        elif curved:
            curved_line(r, text, canvas, sampler, width, taken)
        elif r.random() < 0.25:
            _letters(r, text, canvas, sampler, width, taken)
        else:
            sheet = _board(r, text, width)
            matrix = free_matrix(r, canvas, sampler, sheet.width, sheet.height, taken)
            if matrix is not None:
                sheet.show(canvas, matrix, 0.5 * r.random() if r.random() < 0.5 else 0.0)


def _board(r: Random, text: PageText, width: float) -> Sheet:
    """Draw a plate with one to six lines, some of them in small print."""
    background, colour, gap = pair(r, r.random() < 0.08)
    font = text.font(r, kind="any" if r.random() < 0.5 else "text", bold=None if r.random() < 0.5 else True)
    plain = text.font(r, kind="text", bold=False)
    rows: list[tuple[list[str], FontFile, float]] = []
    y, room = width * 0.05, width * (0.8 + 0.12 * r.random())
    for index in range(1 + int(6 * r.random() ** 1.8)):
        small = index > 0 and r.random() < 0.6
        words = _content(r, text, 2 if small else 1)
        row_font = plain if small else font
        words = [drawn for word in words if (drawn := text.drawable(r, row_font, word))]
        length = sum(measure(row_font, word, 1.0) for word in words) + space(row_font, 1.0) * (len(words) - 1)
        if not words or length <= 0:
            continue
        size = min(room / length, width * (0.14 if small else 0.45) * (0.6 + 0.8 * r.random()))
        rows.append((words, row_font, size))
        y += size * 1.2
    height = round(y + width * 0.07)
    image = plate(r, height, round(width), background, min(60.0, 0.4 * gap) * r.random() if r.random() < 0.6 else 0.0)
    sheet = Sheet(image, text, r)
    second = shade(r, min(245.0, max(8.0, luma(background) + (25 if r.random() < 0.5 else -25))), 60)
    if r.random() < 0.35:
        edge = max(1, round(width * 0.012))
        inner = (edge, edge), (sheet.width - 1 - edge, sheet.height - 1 - edge)
        cv2.rectangle(image, *inner, colour if r.random() < 0.6 else second, edge)
    style = sample_style(r, colour)
    align = 0.5 if r.random() < 0.65 else 0.0
    y = width * 0.05
    for words, row_font, size in rows:
        y += size * 1.2
        if r.random() < 0.12:
            sheet.box(0, y - size, sheet.width, y + size * 0.28, second, True)
        x = sheet.width / 2 if align else (sheet.width - room) / 2
        sheet.line(words, row_font, x, y - size * 0.2, size, style, align, room * 1.02)
    return sheet


def _content(r: Random, text: PageText, most: int) -> list[str]:
    kind = r.random()
    if kind < 0.12:
        return text.from_pattern(r, PRICES if r.random() < 0.6 else CODES + DATES).split()
    if kind < 0.65:
        return text.name(r, 1 + int((1 + most) * r.random()), r.random() < 0.55)
    return text.words(r, 1 + int(2 * most * r.random()))


def _letters(r: Random, text: PageText, canvas: Canvas, sampler: EffectSampler, width: float, taken: list[Box]) -> None:
    """Draw large letters without a plate."""
    font = text.font(r, kind="any")
    words = [drawn for word in _content(r, text, 1) if (drawn := text.drawable(r, font, word))]
    length = sum(measure(font, word, 1.0) for word in words) + space(font, 1.0) * (len(words) - 1)
    if length <= 0:
        return
    size = min(width / length, canvas.height * 0.25)
    matrix = free_matrix(r, canvas, sampler, length * size, size * 1.2, taken)
    if matrix is not None:
        _write_line(r, canvas, words, font, size, matrix)


def _write_line(r: Random, canvas: Canvas, words: list[str], font: FontFile, size: float, matrix: Floats) -> None:
    style = contrasting_style(r, canvas, transform(np.array(((0.0, 0.0), (size * 3, size))), matrix))
    x = 0.0
    for word in words:
        canvas.write(Mark(word, font, x, size * 0.9, size, style), matrix)
        x += measure(font, word, size) + space(font, size)
