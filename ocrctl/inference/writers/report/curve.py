"""The page of `model merge`: the curve of both datasets from the base to the new model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrctl.inference.writers.report.parts import SWATCHES, document, escape, percent, table, with_range
from ocrctl.metrics.bootstrap import Interval

Row = tuple[str, float | None, Interval | None, float | None, Interval | None]


@dataclass(frozen=True)
class Curve:
    """Points (share of the new model, value in 0..1) of one dataset."""

    name: str
    points: list[tuple[float, float]]


def curve_page(title: str, introduction: str, curves: Sequence[Curve], rows: Sequence[Row], metric: str) -> str:
    """Return the whole page; rows: alpha, then value and change of both datasets."""
    cells = [
        [alpha, *(_cell(value) for value in values)]
        for alpha, *values in rows
    ]  # fmt: skip
    headers = ["alpha", f"val {metric} %", "change, points", f"general {metric} %", "change, points"]
    chart = f"<figure><figcaption>{escape(metric)} in percent by alpha</figcaption>{_chart(curves)}</figure>"
    note = "<p class='soft'>Changes from the base with 95 % intervals, from the same resamples of the same samples.</p>"
    return document("ocrctl model merge", title, escape(introduction), f"{chart}{table(headers, cells, 1)}{note}")


def _cell(value: float | Interval | None) -> str:
    if value is None:
        return "–"
    return with_range(value, signed=True) if isinstance(value, Interval) else percent(value)


def _chart(curves: Sequence[Curve]) -> str:
    width, height, left, top, bottom = 560, 260, 48, 10, 34
    values = [value for curve in curves for _, value in curve.points]
    if not values:
        return '<p class="soft">No dataset was measured.</p>'
    low, high = min(values), max(values)
    margin = max(0.005, 0.1 * (high - low))
    low, high = max(0.0, low - margin), min(1.0, high + margin)

    def x(alpha: float) -> float:
        return left + (width - left - 16) * alpha

    def y(value: float) -> float:
        return top + (height - top - bottom) * (high - value) / (high - low)

    grid = [low + (high - low) * step / 4 for step in range(5)]
    parts = [
        f'<line class="grid" x1="{left}" x2="{width - 8}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{left - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v * 100:.1f}</text>'
        for v in grid
    ]
    parts += [
        f'<text x="{x(a):.1f}" y="{height - 16}" text-anchor="middle">{a:g}</text>' for a in (0, 0.25, 0.5, 0.75, 1)
    ]
    parts.append(f'<text x="{(left + width) / 2:.0f}" y="{height - 1}" text-anchor="middle">alpha</text>')
    legend = []
    for number, curve in enumerate(curves):
        colour = f"var(--s{number % SWATCHES})"
        line = " ".join(f"{x(alpha):.1f},{y(value):.1f}" for alpha, value in curve.points)
        dots = "".join(
            f'<circle cx="{x(alpha):.1f}" cy="{y(value):.1f}" r="4" fill="{colour}">'
            f"<title>{escape(curve.name)}, alpha {alpha:g}: {percent(value)} %</title></circle>"
            for alpha, value in curve.points
        )
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}')
        legend.append(f'<span style="--swatch:{colour}">{escape(curve.name)}</span>')
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="value by alpha">{"".join(parts)}</svg>'
        f'<div class="legend">{"".join(legend)}</div>'
    )
