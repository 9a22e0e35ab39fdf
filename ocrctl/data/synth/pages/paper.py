"""Draw papers: prose in one or two columns with headings, tables and figures; and forms of labelled fields."""

from __future__ import annotations

from random import Random

from ocrctl.data.synth.pages.background import paper, plate
from ocrctl.data.synth.pages.sheet import Sheet
from ocrctl.data.synth.pages.text import CODES, DATES, LISTED, PRICES, PageText
from ocrctl.data.synth.pages.word_mark import Style
from ocrctl.data.synth.words.fonts import FontFile
from ocrctl.data.synth.words.palette import shade


def prose(r: Random, text: PageText, height: int, width: int) -> Sheet:
    """Draw a page of a letter, a report or a journal."""
    sheet = Sheet(paper(r, height, width), text, r)
    body = text.font(r, kind="text", bold=False)
    heavy = text.font(r, kind="text", bold=True) if r.random() < 0.5 else body
    columns = 1 if r.random() < 0.6 else 2
    size = width / ((20 + 24 * r.random()) * (1.0 if columns == 1 else 1.2))
    step = size * (1.15 + 0.45 * r.random())
    ink = Style(shade(r, 8 + 60 * r.random() ** 2, 10 * r.random()))
    left, right = width * (0.07 + 0.05 * r.random()), width * (0.93 - 0.05 * r.random())
    y = height * (0.05 + 0.04 * r.random()) + size
    big = size * (1.5 + 1.3 * r.random())
    for _ in range(1 + int(2 * r.random())):
        words = text.name(r, 2 + int(5 * r.random()), r.random() < 0.2)
        y += big
        centred = r.random() < 0.5
        sheet.line(words, heavy, (left + right) / 2 if centred else left, y, big, ink, 0.5 * centred, right - left)
        y += big * 0.35
    y += step
    gap = size * 2
    column = (right - left - gap * (columns - 1)) / columns
    for number in range(columns):
        _column(sheet, r, body, heavy, left + number * (column + gap), y, column, size, step, ink, height * 0.93)
    if r.random() < 0.5:
        sheet.line([text.from_pattern(r, ("#", "##", "###"))], body, width / 2, height * 0.965, size, ink, 0.5)
    return sheet


def _column(
    sheet: Sheet, r: Random, body: FontFile, heavy: FontFile, x: float, y: float, width: float, size: float,
    step: float, ink: Style, low: float,
) -> None:  # fmt: skip
    while y < low:
        kind = r.random()
        if kind < 0.12 and y + 8 * step < low:
            high = step * (4 + 6 * r.random())
            y0, y1, x0, x1 = round(y - size), round(min(low, y - size + high)), round(x), round(x + width)
            colour = shade(r, 60 + 150 * r.random(), 60 * r.random())
            sheet.image[y0:y1, x0:x1] = plate(r, y1 - y0, x1 - x0, colour, 60)
            y += high + step * 0.4
            sheet.line(sheet.text.words(r, 12), body, x, y, size * 0.9, ink, 0.0, width)
        elif kind < 0.24 and y + 5 * step < low:
            y = _table(sheet, r, body, x, y, width, size, step, ink)
        elif kind < 0.5:
            y += step * 0.5
            sheet.line(sheet.text.name(r, 1 + int(4 * r.random()), False), heavy, x, y, size * 1.2, ink, 0.0, width)
        else:
            for _ in range(2 + int(8 * r.random())):
                sheet.line(sheet.text.words(r, 24), body, x, y, size, ink, 0.0, width)
                y += step
                if y > low:
                    return
            sheet.line(sheet.text.words(r, 1 + int(6 * r.random())), body, x, y, size, ink, 0.0, width)
        y += step * (1.2 + 0.8 * r.random())


def _table(
    sheet: Sheet, r: Random, font: FontFile, x: float, y: float, width: float, size: float, step: float, ink: Style
) -> float:
    columns, rows = 2 + int(4 * r.random()), 2 + int(5 * r.random())
    cell, ruled = width / columns, r.random() < 0.6
    for row in range(rows):
        for column in range(columns):
            words = (
                sheet.text.name(r, 1, False)
                if row == 0 or column == 0
                else [sheet.text.from_pattern(r, PRICES + LISTED)]
            )
            sheet.line(words, font, x + column * cell + size * 0.3, y, size, ink, 0.0, cell - size * 0.4)
        if ruled or row == 0:
            sheet.rule(x, y + step * 0.32, x + width, y + step * 0.32, ink.colour)
        y += step * 1.15
    return y


def form(r: Random, text: PageText, height: int, width: int) -> Sheet:
    """Draw a form: a heading, sections of ruled cells with a small label and often a value, checkboxes."""
    sheet = Sheet(paper(r, height, width), text, r)
    label, title = text.font(r, kind="text", bold=False), text.font(r, kind="text", bold=True)
    value = text.font(r, kind="mono" if r.random() < 0.5 else "any")
    size = width / (22 + 18 * r.random())
    ink = Style(shade(r, 20 + 60 * r.random(), 15))
    line = shade(r, 40 + 120 * r.random(), 40 * r.random())
    written = Style(shade(r, 30 + 40 * r.random(), 60 * r.random()))
    left, right = width * 0.06, width * 0.94
    y = height * 0.04 + size * 2
    sheet.line(text.name(r, 2 + int(3 * r.random()), True), title, left, y, size * 1.8, ink, 0.0, right - left)
    y += size * 1.2
    while y < height * 0.9:
        if r.random() < 0.6:
            bar = size * 1.7
            dark = r.random() < 0.6
            sheet.box(left, y, right, y + bar, line if dark else (225.0, 225.0, 222.0), True)
            white = Style((250.0, 250.0, 250.0)) if dark else ink
            words = text.name(r, 1 + int(4 * r.random()), r.random() < 0.5)
            sheet.line(words, title, left + size * 0.6, y + size * 1.2, size, white, 0.0, right - left - size)
            y += bar
        for _ in range(1 + int(4 * r.random())):
            y = _row(sheet, r, label, value, left, right, y, size, ink, written, line)
            if y > height * 0.93:
                break
        if r.random() < 0.4 and y < height * 0.85:
            y = _ticks(sheet, r, label, left, right, y + size * 1.8, size, ink, line)
        y += size * (0.6 + 1.2 * r.random())
    return sheet


def _row(
    sheet: Sheet, r: Random, label: FontFile, value: FontFile, left: float, right: float, y: float, size: float,
    ink: Style, written: Style, line: tuple[float, float, float],
) -> float:  # fmt: skip
    cells, high = 1 + int(3.5 * r.random()), size * (2.5 + 0.9 * r.random())
    cell = (right - left) / cells
    for number in range(cells):
        x = left + number * cell
        sheet.box(x, y, x + cell, y + high, line, False)
        words = [sheet.text.field_name(r)] + (sheet.text.words(r, 2) if r.random() < 0.3 else [])
        sheet.line(words, label, x + size * 0.3, y + size * 0.85, size * 0.75, ink, 0.0, cell - size)
        if r.random() < 0.7:
            kind = r.random()
            found = sheet.text.from_pattern(r, DATES if kind < 0.2 else CODES if kind < 0.4 else PRICES).split()
            words = found if kind < 0.55 else sheet.text.name(r, 1 + int(3 * r.random()), False)
            sheet.line(words, value, x + size * 0.6, y + high - size * 0.4, size * 1.1, written, 0.0, cell - size * 1.2)
    return y + high


def _ticks(
    sheet: Sheet, r: Random, font: FontFile, left: float, right: float, y: float, size: float, ink: Style,
    line: tuple[float, float, float],
) -> float:  # fmt: skip
    x = left
    while x < right - 8 * size:
        sheet.box(x, y - size * 0.8, x + size * 0.8, y, line, False)
        if r.random() < 0.4:
            sheet.rule(x, y - size * 0.8, x + size * 0.8, y, ink.colour, size / 10)
            sheet.rule(x, y, x + size * 0.8, y - size * 0.8, ink.colour, size / 10)
        x = sheet.line(sheet.text.words(r, 1 + int(2 * r.random())), font, x + size * 1.2, y, size, ink, 0.0, 7 * size)
        x += size * 1.5
    return y + size * 0.6
