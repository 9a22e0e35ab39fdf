"""Tab-separated values with a header: path, text, confidence."""

from __future__ import annotations

from pathlib import Path

from ocrctl.errors import InputError
from ocrctl.inference.writers.prediction import Prediction

NAME = "tsv"
SUFFIX = ".tsv"
HEADER = "path\ttext\tconfidence"


def line(prediction: Prediction, folder: Path | None = None) -> str:
    """One row. Raises InputError when a tab or a line break in a field would break it."""
    if any(char in field for field in (prediction.path, prediction.text) for char in "\t\r\n"):
        raise InputError(f"{prediction.path!r}: a tab or line break cannot be written as tsv; use jsonl.")
    return f"{prediction.path}\t{prediction.text}\t{prediction.confidence:.4f}"
