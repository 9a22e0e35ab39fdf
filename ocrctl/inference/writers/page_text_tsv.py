"""Tab-separated values of pages that were read: path, score, points as x1,y1,x2,y2..., text, confidence of the text.

A page on which nothing was found has one row with its path alone.
"""

from __future__ import annotations

from pathlib import Path

from ocrctl.errors import InputError
from ocrctl.inference.writers import page_tsv
from ocrctl.inference.writers.prediction import PagePrediction

NAME = page_tsv.NAME
SUFFIX = page_tsv.SUFFIX
HEADER = f"{page_tsv.HEADER}\ttext\tconfidence"


def line(prediction: PagePrediction, folder: Path | None = None) -> str:
    """The rows of a page. Raises InputError when a tab or a line break in its path or a text would break them."""
    words = prediction.words or ()
    for word in words:
        if any(char in word.text for char in "\t\r\n"):
            raise InputError(
                f"{prediction.path}: {word.text!r} has a tab or line break, which tsv cannot hold; use jsonl."
            )
    rows = page_tsv.line(prediction, folder).split("\n")
    if not words:
        return f"{rows[0]}\t\t"
    return "\n".join(f"{row}\t{word.text}\t{word.confidence:.4f}" for row, word in zip(rows, words, strict=True))
