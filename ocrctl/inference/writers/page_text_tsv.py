"""Tab-separated values of pages that were read: path, score, points as x1,y1,x2,y2..., text, confidence of the text.

A page on which nothing was found has one row with its path alone.
"""

from __future__ import annotations

from pathlib import Path

from ocrctl.escape import cell
from ocrctl.inference.writers import page_tsv
from ocrctl.inference.writers.prediction import PagePrediction

NAME = page_tsv.NAME
SUFFIX = page_tsv.SUFFIX
HEADER = f"{page_tsv.HEADER}\ttext\tconfidence"


def line(prediction: PagePrediction, folder: Path | None = None) -> str:
    """The rows of a page; controls and backslashes of its path and texts are escaped."""
    words = prediction.words or ()
    rows = page_tsv.line(prediction, folder).split("\n")
    if not words:
        return f"{rows[0]}\t\t"
    return "\n".join(f"{row}\t{cell(word.text)}\t{word.confidence:.4f}" for row, word in zip(rows, words, strict=True))
