"""Draw receipts: a strip of paper with a shop's name, items, totals and a bar code."""

from __future__ import annotations

from random import Random

from ocrctl.data.synth.pages.background import paper
from ocrctl.data.synth.pages.sheet import Sheet
from ocrctl.data.synth.pages.text import CODES, DATES, LISTED, PRICES, PageText
from ocrctl.data.synth.pages.word_mark import Style
from ocrctl.data.synth.words.palette import shade


def receipt(r: Random, text: PageText, width: int, longest: int) -> Sheet:
    """Draw a receipt `width` units wide and at most `longest` long."""
    sheet = Sheet(paper(r, longest, width), text, r)
    plain = text.font(r, kind="mono" if r.random() < 0.5 else "text", bold=False)
    heavy = text.font(r, kind="text", bold=True) if r.random() < 0.4 else plain
    size = width / (15 + 11 * r.random())
    step = size * (1.15 + 0.45 * r.random())
    ink = Style(shade(r, 15 + 75 * r.random(), 12 * r.random()))
    left, right = width * 0.06, width * 0.94
    upper = r.random() < 0.6
    y = step * 1.6

    big = size * (1.2 + 0.9 * r.random())
    for _ in range(1 + int(1.4 * r.random())):
        y += big * 0.5
        names = text.name(r, 1 + int(3 * r.random()), upper)
        sheet.line(names, heavy, width / 2, y, big, ink, 0.5, right - left)
        y += big
    for _ in range(1 + int(4 * r.random())):
        words = text.name(r, 1 + int(3 * r.random()), upper) + (
            [text.from_pattern(r, CODES)] if r.random() < 0.6 else []
        )
        sheet.line(words, plain, width / 2, y, size, ink, 0.5, right - left)
        y += step
    y = _separator(sheet, r, left, right, y, step, ink)
    for _ in range(int(4 * r.random())):
        end = sheet.line([text.field_name(r) + (":" if r.random() < 0.5 else "")], plain, left, y, size, ink)
        values = text.from_pattern(r, DATES if r.random() < 0.5 else CODES).split()
        if r.random() < 0.6:
            sheet.line(values, plain, right, y, size, ink, 1.0, right - end - size)
        else:
            sheet.line(values, plain, end + size, y, size, ink, 0.0, right - end - size)
        y += step
    y = _separator(sheet, r, left, right, y, step, ink)
    counted = r.random() < 0.5
    for _ in range(2 + int(12 * r.random())):
        x = left
        if counted:
            x = max(sheet.line([text.from_pattern(r, LISTED)], plain, left, y, size, ink) + size / 2, left + 2 * size)
        price = text.from_pattern(r, PRICES)
        sheet.line([price], plain, right, y, size, ink, 1.0)
        names = text.name(r, 1 + int(3 * r.random()), upper)
        sheet.line(names, plain, x, y, size, ink, 0.0, right - x - size * (1 + 0.62 * len(price)))
        y += step
        if y > longest * 0.7:
            break
    y = _separator(sheet, r, left, right, y, step, ink)
    for index in range(1 + int(4 * r.random())):
        row_font, high = (heavy, size * 1.3) if index == 0 and r.random() < 0.6 else (plain, size)
        y += high - size
        end = sheet.line([text.field_name(r)], row_font, left, y, high, ink)
        sheet.line([text.from_pattern(r, PRICES)], row_font, right, y, high, ink, 1.0, right - end)
        y += step
    for _ in range(int(4 * r.random())):
        sheet.line(text.words(r, 2 + int(4 * r.random())), plain, width / 2, y, size, ink, 0.5, right - left)
        y += step
    if r.random() < 0.4 and y + 4 * step < longest:
        y = _bars(sheet, r, y, step, ink)
        code = (
            "".join(str(int(10 * r.random())) for _ in range(12)) if r.random() < 0.5 else text.from_pattern(r, CODES)
        )
        sheet.line(code.split(), plain, width / 2, y, size * 0.9, ink, 0.5, right - left)
        y += step
    sheet.cut_below(y + step * r.random())
    return sheet


def _separator(sheet: Sheet, r: Random, left: float, right: float, y: float, step: float, ink: Style) -> float:
    """Draw a line, dashes or only space. Returns the next baseline."""
    if r.random() < 0.65:
        middle = y - step * 0.35
        if r.random() < 0.5:
            sheet.rule(left, middle, right, middle, ink.colour)
        else:
            dash = step * (0.2 + 0.4 * r.random())
            x = left
            while x < right:
                sheet.rule(x, middle, min(right, x + dash * 0.6), middle, ink.colour)
                x += dash
    return y + step * (0.6 + 0.6 * r.random())


def _bars(sheet: Sheet, r: Random, y: float, step: float, ink: Style) -> float:
    x, end, low = sheet.width * 0.2, sheet.width * 0.8, y + step * (1.2 + r.random())
    unit = max(1.0, sheet.width / 220)
    while x < end:
        bar = unit * (1 + int(3 * r.random()))
        sheet.box(x, y - step * 0.6, x + bar - 1, low, ink.colour, True)
        x += bar + unit * (1 + int(3 * r.random()))
    return low + step * 1.1
