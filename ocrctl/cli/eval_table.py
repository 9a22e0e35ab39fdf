"""Print the tables of `ocrctl eval` of recognisers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrctl.cli import console
from ocrctl.errors import counted

if TYPE_CHECKING:
    from ocrctl.metrics.bootstrap import Interval
    from ocrctl.metrics.evaluation import Evaluation

CHARS_SHOWN = 12
WORST_SHOWN = 5  # for each model, without --details


def show(result: Evaluation, details: bool = False) -> None:
    """Print scores, paired differences and a few of the worst samples; with `details` all of them, and accuracy by
    length."""
    names = ("accuracy", "cer", "one_minus_ned", "empty_rate")
    rows = []
    for item in result.results:
        summary = item.summary
        values = [_percent(summary.metrics[name]) for name in names]
        rows.append([item.model, item.dataset, summary.protocol, summary.samples, summary.left_out, *values])
    heads = ["accuracy %", "CER %", "1-NED %", "empty %"]
    console.table(["model", "data", "protocol", "words", "left out", *heads], rows, keys=3)
    if result.differences:
        console.write()
        rows = []
        for pair in result.differences:
            values = [_percent(pair.metrics[name], signed=True) for name in names]
            rows.append([f"{pair.after} - {pair.before}", pair.dataset, pair.protocol, *values])
        signs = ["accuracy (+ better)", "CER (- better)", "1-NED (+ better)", "empty (- better)"]
        console.table(["later - earlier model, points", "data", "protocol", *signs], rows, keys=3)
    if details:
        _show_lengths(result)
    for unknown in result.unknown:
        chars = " ".join(f"{char!r} x {count}" for char, count in list(unknown.counts.items())[:CHARS_SHOWN])
        more = f" and {len(unknown.counts) - CHARS_SHOWN} more" if len(unknown.counts) > CHARS_SHOWN else ""
        console.note(
            f"note: {unknown.model}, {unknown.protocol}: {counted(unknown.labels, 'word')} "
            f"({100 * unknown.share:.2f} %) with characters outside the charset, scored as errors: {chars}{more}"
        )
    shown = [
        item
        for model in result.models
        for item in [one for one in result.worst if one.model == model.name][: None if details else WORST_SHOWN]
    ]
    if shown:
        console.write()
        rows = [
            [item.model, item.truth, item.prediction or "(nothing)", item.edits, f"{item.confidence:.2f}", item.where]
            for item in shown
        ]
        console.table(["model", "ground truth", "read", "edits", "confidence", "where"], rows, keys=2)
    if not details:
        more = f", {left} more of the worst samples" if (left := len(result.worst) - len(shown)) else ""
        console.note(f"note: not shown: accuracy by length{more} (--details, or --report FILE.html)")


def _show_lengths(result: Evaluation) -> None:
    console.write()
    rows = []
    for model in result.models:
        for row in result.overall(model.name, result.protocols[0]).by_length:
            rows.append([model.name, row.label, row.samples, f"{100 * row.accuracy:.2f}", f"{100 * row.cer:.2f}"])
    console.table(["model", f"length ({result.protocols[0]})", "words", "accuracy %", "CER %"], rows, keys=2)


def _percent(interval: Interval, signed: bool = False) -> str:
    def show(value: float) -> str:
        return "-" if value != value else f"{100 * value:{'+' if signed else ''}.2f}"

    if interval.low != interval.low:
        return show(interval.value)
    return f"{show(interval.value)} [{show(interval.low)}, {show(interval.high)}]"
