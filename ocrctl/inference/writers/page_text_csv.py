"""Comma-separated values of pages that were read: as `page_csv`, then the text and its confidence."""

from __future__ import annotations

from pathlib import Path

from ocrctl.inference.writers import page_csv
from ocrctl.inference.writers.csv_words import record
from ocrctl.inference.writers.prediction import PagePrediction

NAME = page_csv.NAME
SUFFIX = page_csv.SUFFIX
HEADER = f"{page_csv.HEADER},text,confidence"


def line(prediction: PagePrediction, folder: Path | None = None) -> str:
    """The records of a page."""
    texts = [[word.text, f"{word.confidence:.4f}"] for word in prediction.words or ()] or [["", ""]]
    return "\n".join(record(fields + text) for fields, text in zip(page_csv.boxes(prediction), texts, strict=True))
