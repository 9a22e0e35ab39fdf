"""metrics.csv: the figures of a run, one row per log or validation."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

BEFORE = ("step", "samples", "seconds", "lr", "loss")
BEHIND = ("images_per_second", "skipped")
Row = dict[str, float]


class MetricsFile:
    """metrics.csv: one row per log or validation, appended whole and flushed."""

    def __init__(self, path: Path, resume_step: int, columns: Sequence[str]) -> None:
        """`columns`: those of the validation. Rows past `resume_step` (written after the checkpoint that the run goes
        on from) are dropped."""
        self.path, self.columns = path, (*BEFORE, *columns, *BEHIND)
        rows: list[dict[str, str]] = []
        if path.exists() and resume_step:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if int(float(row["step"] or 0)) <= resume_step]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)

    def add(self, row: Row) -> None:
        """Append one row; missing columns stay empty."""
        text = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(text)
