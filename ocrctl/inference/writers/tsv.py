"""Tab-separated values with a header: path, text, confidence; controls and backslashes escaped (ocrctl/escape.py)."""

from __future__ import annotations

from pathlib import Path

from ocrctl.escape import cell
from ocrctl.inference.writers.prediction import Prediction

NAME = "tsv"
SUFFIX = ".tsv"
HEADER = "path\ttext\tconfidence"


def line(prediction: Prediction, folder: Path | None = None) -> str:
    """One row; any path and any text survive."""
    return f"{cell(prediction.path)}\t{cell(prediction.text)}\t{prediction.confidence:.4f}"
