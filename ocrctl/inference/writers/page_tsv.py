"""Tab-separated values of pages with a header: path, score, points as x1,y1,x2,y2...; a row for each box.

A page on which nothing was found has one row whose score and points are empty.
"""

from __future__ import annotations

from pathlib import Path

from ocrctl.escape import cell
from ocrctl.inference.writers.prediction import PagePrediction
from ocrctl.inference.writers.results import coordinates

NAME = "tsv"
SUFFIX = ".tsv"
HEADER = "path\tscore\tpoints"


def line(prediction: PagePrediction, folder: Path | None = None) -> str:
    """The rows of a page; controls and backslashes of its path are escaped."""
    found = prediction.found
    path = cell(prediction.path)
    rows = [
        f"{path}\t{score:.4f}\t{coordinates(found.polygon(index), digits=2)}"
        for index, score in enumerate(found.scores)
    ]
    return "\n".join(rows or [f"{path}\t\t"])
