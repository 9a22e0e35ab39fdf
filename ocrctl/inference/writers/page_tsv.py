"""Tab-separated values of pages with a header: path, score, points as x1,y1,x2,y2...; a row for each box.

A page on which nothing was found has one row whose score and points are empty.
"""

from __future__ import annotations

from pathlib import Path

from ocrctl.errors import InputError
from ocrctl.inference.writers.prediction import PagePrediction
from ocrctl.inference.writers.results import coordinates

NAME = "tsv"
SUFFIX = ".tsv"
HEADER = "path\tscore\tpoints"


def line(prediction: PagePrediction, folder: Path | None = None) -> str:
    """The rows of a page. Raises InputError when a tab or a line break in its path would break them."""
    if any(char in prediction.path for char in "\t\r\n"):
        raise InputError(f"{prediction.path!r}: a tab or line break cannot be written as tsv; use jsonl.")
    found = prediction.found
    rows = [
        f"{prediction.path}\t{score:.4f}\t{coordinates(found.polygon(index), digits=2)}"
        for index, score in enumerate(found.scores)
    ]
    return "\n".join(rows or [f"{prediction.path}\t\t"])
