"""Plain text: the text of each picture on a line of its own, in input order; unreadable pictures have no line.

A line break or another control in a text is shown as an escape; JSON lines hold it as it is.
"""

from __future__ import annotations

from pathlib import Path

from ocrctl.escape import visible
from ocrctl.inference.writers.prediction import Prediction

NAME = "txt"
SUFFIX = ".txt"
HEADER = ""


def line(prediction: Prediction, folder: Path | None = None) -> str:
    """The text alone."""
    return visible(prediction.text)
