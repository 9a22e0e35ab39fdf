"""HTML report of `ocrctl predict`: counts, speed, and unreadable inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from ocrctl import __version__
from ocrctl.core.predict.run import PredictReport
from ocrctl.files.atomic import write_with_newline
from ocrctl.inference.writers.report.parts import document, escape, table

LISTED = 1000  # rows of one table; the JSON report has all


def write_page(path: Path, report: PredictReport) -> None:
    """Write one self-contained HTML file. Raises InputError or ResumableStop when `path` cannot be written."""
    write_with_newline(path, render(report))


def render(report: PredictReport) -> str:
    """Return the HTML page: a table for each list and mapping of `report`, and one for the other values."""
    counts = {"read": report.read, "unreadable": len(report.unreadable), "boxes": report.boxes, "words": report.words}
    heads = "".join(
        f'<div class="head"><div class="name">{name}</div><strong>{count:,}</strong></div>'
        for name, count in counts.items()
        if count is not None
    )
    facts: list[list[str]] = []
    lists = []
    for field in fields(report):
        value, title = getattr(report, field.name), field.name.replace("_", " ")
        if isinstance(value, Mapping):
            rows = [[escape(str(key)), escape(str(one))] for key, one in value.items()]
            lists.append(_listed(title, ["what", "count"], rows))
        elif isinstance(value, list):
            names = [one.name for one in fields(value[0])] if value and is_dataclass(value[0]) else [title]
            lists.append(_listed(title, names, [_cells(one) for one in value[:LISTED]], len(value)))
        elif value not in (None, ""):
            facts.append([title, escape(f"{value:.4g}" if isinstance(value, float) else str(value))])
    introduction = f"{escape(report.model)}. ocrctl {__version__}."
    body = f'<div class="heads">{heads}</div>{"".join(lists)}<h2>Run</h2>{table(["name", "value"], facts, 2)}'
    return document("ocrctl predict", "Predictions", introduction, body)


def _cells(value: Any) -> list[str]:
    if is_dataclass(value):
        return [escape(str(getattr(value, field.name))) for field in fields(value)]
    return [escape(str(value))]


def _listed(title: str, headers: list[str], rows: list[list[str]], count: int | None = None) -> str:
    if not rows:
        return ""
    more = f"<p class='soft'>The first {len(rows):,} of {count:,}.</p>" if count and count > len(rows) else ""
    return f"<h2>{escape(title.capitalize())}</h2>{more}{table(headers, rows, len(headers))}"
