"""Print the tables of `ocrctl eval` of recognisers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrctl.cli import console

if TYPE_CHECKING:
    from ocrctl.metrics.bootstrap import Interval
    from ocrctl.metrics.evaluation import Evaluation

CHARS_SHOWN = 12


def show(result: Evaluation) -> None:
    """Print scores, paired differences, accuracy by length and the worst samples."""
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
            rows.append([f"{pair.first} - {pair.second}", pair.dataset, pair.protocol, *values])
        console.table(["paired difference", "data", "protocol", *heads], rows, keys=3)
    console.write()
    rows = []
    for model in result.models:
        for row in result.overall(model.name, result.protocols[0]).by_length:
            rows.append([model.name, row.label, row.samples, f"{100 * row.accuracy:.2f}", f"{100 * row.cer:.2f}"])
    console.table(["model", f"length ({result.protocols[0]})", "words", "accuracy %", "CER %"], rows, keys=2)
    for unknown in result.unknown:
        chars = " ".join(f"{char!r} x {count}" for char, count in list(unknown.counts.items())[:CHARS_SHOWN])
        more = f" and {len(unknown.counts) - CHARS_SHOWN} more" if len(unknown.counts) > CHARS_SHOWN else ""
        console.note(
            f"note: {unknown.model}, {unknown.protocol}: {unknown.labels} words ({100 * unknown.share:.2f} %) have "
            f"characters outside the charset, scored as errors: {chars}{more}"
        )
    if result.worst:
        console.write()
        rows = [
            [item.model, item.truth, item.prediction or "(nothing)", item.edits, f"{item.confidence:.2f}", item.where]
            for item in result.worst
        ]
        console.table(["model", "ground truth", "read", "edits", "confidence", "where"], rows, keys=2)


def _percent(interval: Interval, signed: bool = False) -> str:
    def show(value: float) -> str:
        return "-" if value != value else f"{100 * value:{'+' if signed else ''}.2f}"

    if interval.low != interval.low:
        return show(interval.value)
    return f"{show(interval.value)} [{show(interval.low)}, {show(interval.high)}]"
