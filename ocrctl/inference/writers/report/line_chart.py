"""A line chart as inline SVG with its legend: curves of training runs, and what a merged model gains and loses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from ocrctl.inference.writers.report.parts import SWATCHES, escape

MAX_POINTS = 300  # of a line; more are thinned to the extremes of equal stretches
MAX_DOTS = 60  # points of a line up to which each is drawn; otherwise they only answer the pointer
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 240, 58, 26, 10, 38  # units of the viewBox
_DASHES = ("", "6 4", "2 3")  # of lines that share a colour

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A named line through points (x, y) by rising x; a y that is not finite interrupts it. `marked`: the point that
    is emphasised."""

    name: str
    points: Sequence[Point]
    marked: Point | None = None


@dataclass(frozen=True)
class Axis:
    """How the values of an axis are shown. `low` and `high`: the ends of an x axis, and limits that a y axis never
    exceeds."""

    label: str
    show: Callable[[float], str]
    low: float = -math.inf
    high: float = math.inf
    logarithmic: bool = False


@dataclass(frozen=True)
class _Scale:
    """A range of values mapped to units of the viewBox, from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def line_chart(lines: Sequence[Line], x_axis: Axis, y_axis: Axis) -> str:
    """Render `lines` as SVG, each with a colour of its own and, beyond SWATCHES of them, a dash pattern.

    Only finite points are drawn, on a logarithmic axis only those above 0; without one a sentence says so.
    """
    drawn = [Line(line.name, _thinned(_drawable(line.points, y_axis)), line.marked) for line in lines]
    points = [point for line in drawn for point in line.points if math.isfinite(point[1])]
    if not points:
        return '<p class="soft">No values.</p>'
    x_scale = _x_scale([x for x, _ in points], x_axis)
    y_scale = _y_scale([y for _, y in points], y_axis)
    parts = [*_grid(x_scale, y_scale, x_axis, y_axis)]
    legend = []
    for number, line in enumerate(drawn):
        colour = f"var(--s{number % SWATCHES})"
        dash = _DASHES[number // SWATCHES % len(_DASHES)]
        parts += _strokes(line, x_scale, y_scale, colour, dash)
        parts += _dots(line, x_scale, y_scale, colour, x_axis, y_axis)
        legend.append(f'<span style="--swatch:{colour}">{escape(line.name)}</span>')
    label = escape(f"{y_axis.label} by {x_axis.label}")
    keys = f'<div class="legend">{"".join(legend)}</div>' if len(lines) > 1 else ""
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>{keys}'


def _drawable(points: Sequence[Point], axis: Axis) -> list[Point]:
    """Replace what a logarithmic axis cannot show by NaN."""
    return [(x, math.nan if axis.logarithmic and y <= 0 else y) for x, y in points if math.isfinite(x)]


def _thinned(points: list[Point]) -> list[Point]:
    """Keep the lowest and the highest point of each of MAX_POINTS / 2 stretches, and both ends: no spike is lost."""
    if len(points) <= MAX_POINTS:
        return points
    kept = {0, len(points) - 1}
    bounds = [len(points) * part // (MAX_POINTS // 2) for part in range(MAX_POINTS // 2 + 1)]
    for start, stop in pairwise(bounds):
        finite = [i for i in range(start, stop) if math.isfinite(points[i][1])]
        gaps = [i for i in range(start, stop) if not math.isfinite(points[i][1])]
        kept.update(gaps[:1])
        if finite:
            kept.update((min(finite, key=lambda i: points[i][1]), max(finite, key=lambda i: points[i][1])))
    return [points[i] for i in sorted(kept)]


def _x_scale(values: list[float], axis: Axis) -> _Scale:
    low = axis.low if math.isfinite(axis.low) else min(values)
    high = axis.high if math.isfinite(axis.high) else max(values)
    return _Scale(low, high if high > low else low + 1, _LEFT, _WIDTH - _RIGHT)


def _y_scale(values: list[float], axis: Axis) -> _Scale:
    low, high = min(values), max(values)
    if axis.logarithmic:
        low, high = (low / 1.1, high * 1.1) if high > low else (low / 2, high * 2)
        return _Scale(low, high, _HEIGHT - _BOTTOM, _TOP, logarithmic=True)
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 0.5
    low, high = max(low - margin, axis.low), min(high + margin, axis.high)
    return _Scale(low, high, _HEIGHT - _BOTTOM, _TOP)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round values (1, 2 or 5 times a power of ten apart) from `low` to `high`."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten; with twice and five times them where there are fewer than three."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside = [10.0**e for e in exponents if low <= 10.0**e <= high]
    if len(inside) >= 3:
        return inside
    return [f * 10.0**e for e in exponents for f in (1, 2, 5) if low <= f * 10.0**e <= high]


def _grid(x_scale: _Scale, y_scale: _Scale, x_axis: Axis, y_axis: Axis) -> list[str]:
    parts = []
    for value in (_log_ticks if y_axis.logarithmic else ticks)(y_scale.low, y_scale.high):
        y = y_scale.at(value)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(y_axis.show(value))}</text>'
        )
    for value in ticks(x_scale.low, x_scale.high, 6):
        shown = escape(x_axis.show(value))
        parts.append(f'<text x="{x_scale.at(value):.1f}" y="{_HEIGHT - 20}" text-anchor="middle">{shown}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 5}" text-anchor="middle">{escape(x_axis.label)}</text>')
    return parts


def _strokes(line: Line, x_scale: _Scale, y_scale: _Scale, colour: str, dash: str) -> list[str]:
    """Draw one polyline for each stretch of finite values."""
    pattern = f' stroke-dasharray="{dash}"' if dash else ""
    strokes = []
    for finite, stretch in groupby(line.points, lambda point: math.isfinite(point[1])):
        corners = [f"{x_scale.at(x):.1f},{y_scale.at(y):.1f}" for x, y in stretch] if finite else []
        if len(corners) > 1:
            strokes.append(
                f'<polyline points="{" ".join(corners)}" fill="none" stroke="{colour}" stroke-width="2"{pattern}/>'
            )
    return strokes


def _dots(line: Line, x_scale: _Scale, y_scale: _Scale, colour: str, x_axis: Axis, y_axis: Axis) -> list[str]:
    """Draw the points, each with its values as a tooltip; beyond MAX_DOTS transparent ones."""
    finite = [point for point in line.points if math.isfinite(point[1])]
    seen = len(finite) <= MAX_DOTS
    dots = []
    for x, y in finite:
        marked = (x, y) == line.marked
        title = f"{line.name}, {x_axis.label} {x_axis.show(x)}: {y_axis.show(y)}{' (best)' if marked else ''}"
        look = f'r="{6 if marked else 3.5}" fill="{colour}"' if seen or marked else 'class="hit" r="5"'
        dots.append(
            f'<circle cx="{x_scale.at(x):.1f}" cy="{y_scale.at(y):.1f}" {look}><title>{escape(title)}</title></circle>'
        )
    return dots
