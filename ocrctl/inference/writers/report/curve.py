"""The page of `model merge`: the curve of both datasets from the base to the new model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrctl.inference.writers.report.line_chart import Axis, Line, line_chart
from ocrctl.inference.writers.report.parts import document, escape, percent, table, with_range
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
    x_axis = Axis("alpha", lambda alpha: f"{alpha:g}")
    y_axis = Axis("value", lambda value: f"{100 * value:.4g}", low=0.0, high=1.0)
    return line_chart([Line(curve.name, curve.points) for curve in curves], x_axis, y_axis)
