"""Comma-separated values of pages with a header: path, score, points as "x1,y1,x2,y2..."; a record for each box.

A page on which nothing was found has one record whose score and points are empty. Quoted as `csv_words` does.
"""

from __future__ import annotations

from pathlib import Path

from ocrctl.inference.writers import csv_words
from ocrctl.inference.writers.csv_words import record
from ocrctl.inference.writers.prediction import PagePrediction
from ocrctl.inference.writers.results import coordinates

NAME = csv_words.NAME
SUFFIX = csv_words.SUFFIX
HEADER = "path,score,points"


def line(prediction: PagePrediction, folder: Path | None = None) -> str:
    """The records of a page."""
    return "\n".join(record(fields) for fields in boxes(prediction))


def boxes(prediction: PagePrediction) -> list[list[str]]:
    """Path, score and points of each box, or the path alone."""
    found = prediction.found
    rows = [
        [prediction.path, f"{score:.4f}", coordinates(found.polygon(index), digits=2)]
        for index, score in enumerate(found.scores)
    ]
    return rows or [[prediction.path, "", ""]]
