"""Training runs as one HTML page that needs nothing else: curves, settings that differ, events and previews."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ocrctl import __version__
from ocrctl.errors import counted
from ocrctl.inference.writers.report.line_chart import Axis, Line, line_chart
from ocrctl.inference.writers.report.parts import breakable, document, escape, table

LOG_RATIO = 30  # largest over smallest loss from which its axis is logarithmic
Rows = Sequence[dict[str, float]]  # figures by column, those that the row has
# Charts of one run, in order: heading and columns. Other columns follow: of validations, then figures of the model.
_CHARTS = (
    ("loss", ("loss",)),
    ("learning rate", ("lr",)),
    ("accuracy, %", ("val_exact", "val_str36")),
    ("hmean, precision, recall, %", ("val_hmean", "val_precision", "val_recall")),
    ("CER, %", ("val_cer",)),
    ("empty predictions, %", ("val_empty",)),
    ("images/s", ("images_per_second",)),
)
_COUNTS = {"step", "samples", "seconds", "skipped"}  # columns without a chart
_NAMES = {
    "val_exact": "exact", "val_str36": "str36", "val_hmean": "hmean", "val_precision": "precision",
    "val_recall": "recall", "val_cer": "CER", "val_empty": "empty", "lr": "learning rate",
    "images_per_second": "images/s",
}  # fmt: skip
_STYLE = """
svg circle.hit { fill: transparent; stroke: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 14px; }
figcaption { font-weight: 600; margin-bottom: 4px; }
.preview { margin: 0 0 14px; }
.preview img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
.events { margin: 6px 0 0; padding-left: 20px; }
"""


@dataclass(frozen=True)
class Preview:
    """The samples drawn at the validation of `step`: a data URI, or why they cannot be shown."""

    step: int
    source: str
    problem: str = ""


@dataclass(frozen=True)
class RunPage:
    """What is shown of one run. `goal`: the column that selects the best checkpoint. `rows` hold `step`, `seconds`
    (of training) and figures. `events`: what happened besides the curves, one sentence each."""

    name: str
    path: str
    arch: str
    steps: int
    seconds: float
    goal: str
    rows: Rows
    events: Sequence[str]
    previews: Sequence[Preview]


def render_runs(runs: Sequence[RunPage], settings: Mapping[str, Sequence[object]]) -> str:
    """Render the page of one run or of several. `settings`: the values of each setting that differs, one for each run;
    for a single run its value and the default."""
    single = len(runs) == 1
    introduction = (
        f"{', '.join(escape(run.path) for run in runs)}. Figures of metrics.csv; a loss is the mean since the row "
        f"before it. ocrctl {__version__}."
    )
    body = (
        f'<div class="heads">{"".join(_head(run) for run in runs)}</div>'
        f'<h2>Curves</h2><div class="charts">{_charts(runs)}</div>'
        f"{_validations(runs)}{_settings(runs, settings)}{_events(runs)}{_previews(runs)}"
    )
    title = f"ocrctl runs {'show' if single else 'compare'}"
    return document(title, "Training run" if single else "Training runs", introduction, body, _STYLE)


def _head(run: RunPage) -> str:
    best = best_point(run.rows, run.goal)
    name = _NAMES.get(run.goal, run.goal)
    if best is None:
        figure, when = "–", "no validation yet"
    else:
        figure, when = f"{100 * best[1]:.2f} %", f"best {escape(name)}, at step {best[0]:,.0f}"
    losses = [row["loss"] for row in run.rows if math.isfinite(row.get("loss", math.nan))]
    loss = f", last loss {losses[-1]:.4g}" if losses else ""
    return (
        f'<div class="head"><div class="name">{escape(run.name)}</div><strong>{figure}</strong><div>{when}</div>'
        f'<div class="soft path">{escape(run.arch)}, {counted(run.steps, "step")} in {_minutes(run.seconds)}{loss}<br>'
        f"{escape(run.path)}</div></div>"
    )


def best_point(rows: Rows, column: str) -> tuple[float, float] | None:
    """Return (step, value) of the highest value of `column`, of equal ones the last, which training keeps."""
    points = [(row["step"], row[column]) for row in rows if math.isfinite(row.get(column, math.nan))]
    return max(points, key=lambda point: point[::-1], default=None)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _charts(runs: Sequence[RunPage]) -> str:
    """Draw the columns of one chart as its lines for a single run; for several, one chart by column, a line by run."""
    present = {column for run in runs for row in run.rows for column in row}
    known = {column for _, columns in _CHARTS for column in columns}
    others = sorted(present - known - _COUNTS, key=lambda column: (not column.startswith("val_"), column))
    steps = Axis("step", lambda value: f"{value:,.0f}", 0.0, float(max(run.steps for run in runs)))
    figures = []
    for heading, columns in (*_CHARTS, *((column, (column,)) for column in others)):
        found = [column for column in columns if column in present]
        if len(runs) == 1 and found:
            lines = [_line(runs[0], column, _NAMES.get(column, column)) for column in found]
            figures.append(_figure(heading, lines, found[0], steps))
        elif len(runs) > 1:
            for column in found:
                lines = [_line(run, column, run.name) for run in runs]
                heading = f"{_NAMES.get(column, column)}{', %' if _is_share(column) else ''}"
                figures.append(_figure(heading, lines, column, steps))
    goals = {run.goal for run in runs}
    if len(runs) > 1 and len(goals) == 1 and (goal := goals.pop()) in present:
        lines = [_line(run, goal, run.name, lambda row: row["seconds"] / 60) for run in runs]
        minutes = Axis("minute", lambda value: f"{value:.3g}", 0.0)
        figures.append(_figure(f"{_NAMES.get(goal, goal)} by minutes of training, %", lines, goal, minutes))
    return "".join(figures)


def _line(run: RunPage, column: str, name: str, x: Callable[[dict[str, float]], float] | None = None) -> Line:
    position = x or (lambda row: row["step"])
    rows = [row for row in run.rows if column in row]
    best = best_point(run.rows, column) if column == run.goal else None
    marked = next(((position(row), row[column]) for row in rows if best and row["step"] == best[0]), None)
    return Line(name, [(position(row), row[column]) for row in rows], marked)


def _is_share(column: str) -> bool:
    return column.startswith("val_") and column in _NAMES


def _figure(heading: str, lines: list[Line], column: str, x_axis: Axis) -> str:
    label = _NAMES.get(column, column)
    if column == "val_cer":
        axis = Axis(label, lambda value: f"{100 * value:.3g}", low=0.0)
    elif _is_share(column):
        axis = Axis(label, lambda value: f"{100 * value:.3g}", low=0.0, high=1.0)
    else:
        values = [y for line in lines for _, y in line.points if math.isfinite(y)]
        spread = column == "loss" and bool(values) and min(values) > 0 and max(values) > LOG_RATIO * min(values)
        low = -math.inf if column == "loss" else 0.0
        axis = Axis(label, _figure_text, low=low, logarithmic=spread)
        heading += ", logarithmic" if spread else ""
    return f"<figure><figcaption>{escape(heading)}</figcaption>{line_chart(lines, x_axis, axis)}</figure>"


def _figure_text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _validations(runs: Sequence[RunPage]) -> str:
    parts = []
    for run in runs:
        columns = [c for c in _ordered({name for row in run.rows for name in row}) if c.startswith("val_")]
        rows = [row for row in run.rows if any(column in row for column in columns)]
        if not rows:
            continue
        headers = ["step", "minutes", *(f"{_NAMES.get(c, c)}{' %' if _is_share(c) else ''}" for c in columns)]
        cells = [
            [f"{row['step']:,.0f}", f"{row['seconds'] / 60:.1f}", *(_cell(row.get(c), c) for c in columns)]
            for row in rows
        ]
        summary = f"{len(rows)} validations" + ("" if len(runs) == 1 else f" of {escape(run.name)}")
        parts.append(f"<details><summary>{summary}</summary>{table(headers, cells, 0)}</details>")
    return "".join(parts)


def _ordered(columns: set[str]) -> list[str]:
    known = [column for _, group in _CHARTS for column in group if column in columns]
    return [*known, *sorted(columns.difference(known))]


def _cell(value: float | None, column: str) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:.2f}" if _is_share(column) else f"{value:.5g}"


def _settings(runs: Sequence[RunPage], settings: Mapping[str, Sequence[object]]) -> str:
    single = len(runs) == 1
    heading = "Settings that differ from the defaults" if single else "Settings that differ"
    if not settings:
        return f"<h2>{heading}</h2><p>None.</p>"
    headers = ["setting", "value", "default"] if single else ["setting", *(escape(run.name) for run in runs)]
    rows = [[breakable(name), *(_value(value) for value in values)] for name, values in settings.items()]
    return f"<h2>{heading}</h2>{table(headers, rows, len(headers))}"


def _value(value: object) -> str:
    if value is None:
        return '<span class="soft">not set</span>'
    if isinstance(value, bool):
        return str(value).lower()
    return "<br>".join(escape(str(item)) for item in value) if isinstance(value, list) else escape(str(value))


def _events(runs: Sequence[RunPage]) -> str:
    items = [
        f"<li>{'' if len(runs) == 1 else f'<b>{escape(run.name)}</b>: '}{escape(event)}</li>"
        for run in runs
        for event in run.events
    ]
    return f'<h2>Events</h2><ul class="events">{"".join(items)}</ul>' if items else ""


def _previews(runs: Sequence[RunPage]) -> str:
    figures = []
    for run in runs:
        for preview in run.previews:
            caption = f"{'' if len(runs) == 1 else f'{escape(run.name)}, '}step {preview.step:,}"
            shown = (
                f'<img src="{escape(preview.source)}" alt="{caption}: validation samples with predictions">'
                if preview.source
                else f'<p class="soft">{escape(preview.problem)}</p>'
            )
            figures.append(f'<figure class="preview"><figcaption>{caption}</figcaption>{shown}</figure>')
    if not figures:
        return ""
    note = "Validation samples with ground truth and prediction: at the best validation and at the last one."
    return f"<h2>Previews</h2><p class='soft'>{note}</p>{''.join(figures)}"
