"""Pieces of HTML reports: the page, escaped text, numbers with intervals, tables, marked edits, the chart by length."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from rapidfuzz.distance import Levenshtein

from ocrctl import escape as controls
from ocrctl.errors import counted
from ocrctl.metrics.bootstrap import Interval
from ocrctl.metrics.evaluation import Result
from ocrctl.metrics.summary import LENGTH_BINS

SWATCHES = 6  # --s0 to --s5 of report.css; more models share colours


def document(title: str, heading: str, introduction: str, body: str, style: str = "") -> str:
    """Assemble a self-contained page: `introduction` and `body` are HTML, `style` is added to that of all reports."""
    room = files("ocrctl.inference.writers.report")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{room.joinpath('report.css').read_text('utf-8')}{style}</style></head><body><main>"
        f"<header><div><h1>{escape(heading)}</h1><p class='soft'>{introduction}</p></div>"
        '<button id="theme" type="button">Light / dark</button></header>'
        f"{body}</main><script>{room.joinpath('report.js').read_text('utf-8')}</script></body></html>\n"
    )


def escape(text: str) -> str:
    """Escape `text` for HTML, also for an attribute in quotes; controls and changes of direction are shown as
    escapes."""
    return html.escape(controls.visible(text))


def breakable(name: str) -> str:
    """Escape a dotted name for HTML; a narrow column breaks it after a dot or an underscore."""
    return escape(name).replace(".", ".<wbr>").replace("_", "_<wbr>")


def script_json(value: Any) -> str:
    """Encode `value` as JSON for a script element, which no text in it can end (`</script`) or widen (`<!--`)."""
    text = controls.json_text(value)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def percent(value: float) -> str:
    """Format 0.8312 as `83.12`; a dash for NaN."""
    return "–" if value != value else f"{100 * value:.2f}"


def with_range(interval: Interval, signed: bool = False) -> str:
    """Format a value and its interval as `83.12 [81.80, 84.40]`, in percent; without brackets when no interval was
    computed."""
    show = (lambda value: "–" if value != value else f"{100 * value:+.2f}") if signed else percent
    if interval.low != interval.low:
        return show(interval.value)
    return f'{show(interval.value)}<span class="range">[{show(interval.low)}, {show(interval.high)}]</span>'


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int) -> str:
    """Render a table; cells are HTML already, columns from `numbers_from` on are numbers, aligned right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="number">{cell}</{tag}>' if column >= numbers_from else f"<{tag}>{cell}</{tag}>"
            for column, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", headers)}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def bar(interval: Interval) -> str:
    """Render a bar of 0..1 with the interval as whiskers."""
    if interval.value != interval.value:
        return ""
    whiskers = ""
    if interval.low == interval.low:
        whiskers = f'<b style="left:{100 * interval.low:.2f}%;width:{100 * (interval.high - interval.low):.2f}%"></b>'
    return f'<div class="bar"><i style="width:{100 * interval.value:.2f}%"></i>{whiskers}</div>'


def marked(truth: str, prediction: str) -> tuple[str, str]:
    """Render both strings as HTML, with missed characters marked in the first and wrong ones in the second."""
    left, right = [], []
    for edit in Levenshtein.opcodes(truth, prediction):
        meant = visible(truth[edit.src_start : edit.src_end])
        read = visible(prediction[edit.dest_start : edit.dest_end])
        if edit.tag == "equal":
            left.append(meant)
            right.append(read)
            continue
        if meant:
            left.append(f'<mark class="missed">{meant}</mark>')
        if read:
            right.append(f'<mark class="wrong">{read}</mark>')
    return "".join(left), "".join(right) or '<span class="nothing">nothing</span>'


def visible(text: str) -> str:
    """Escape a text and make its spaces visible."""
    return escape(text).replace(" ", "␣")


def length_chart(results: Sequence[Result]) -> str:
    """Render accuracy by word length, one line per model, as an inline SVG with its legend."""
    width, height, left, top, bottom = 560, 230, 42, 10, 34
    bins = [
        bounds for bounds in LENGTH_BINS if any((r.shortest, r.longest) == bounds for x in results for r in x.by_length)
    ]
    if not bins:
        return '<p class="soft">No samples.</p>'
    step = (width - left - 10) / len(bins)
    inner = height - top - bottom

    def y(value: float) -> float:
        return top + inner * (1 - value)

    parts = [
        f'<line class="grid" x1="{left}" x2="{width - 8}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{left - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v * 100:.0f}</text>'
        for v in (0, 0.25, 0.5, 0.75, 1)
    ]
    labels = {(row.shortest, row.longest): row.label for result in results for row in result.by_length}
    for number, bounds in enumerate(bins):
        x = left + step * (number + 0.5)
        parts.append(f'<text x="{x:.1f}" y="{height - 16}" text-anchor="middle">{labels[bounds]}</text>')
    parts.append(f'<text x="{(left + width) / 2:.0f}" y="{height - 1}" text-anchor="middle">characters</text>')
    legend = []
    for index, result in enumerate(results):
        colour = f"var(--s{index % SWATCHES})"
        points = []
        dots = []
        for row in result.by_length:
            x = left + step * (bins.index((row.shortest, row.longest)) + 0.5)
            points.append(f"{x:.1f},{y(row.accuracy):.1f}")
            words = counted(row.samples, "word")
            title = f"{escape(result.model)}: {percent(row.accuracy)} % of {words} with {row.label} characters"
            dots.append(
                f'<circle cx="{x:.1f}" cy="{y(row.accuracy):.1f}" r="4" fill="{colour}"><title>{title}</title></circle>'
            )
        parts.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>{"".join(dots)}'
        )
        legend.append(f'<span style="--swatch:{colour}">{escape(result.model)}</span>')
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="accuracy by word length">{"".join(parts)}</svg>'
        f'<div class="legend">{"".join(legend)}</div>'
    )
