"""Comma-separated values with a header: path, text, confidence; quoted as RFC 4180 says, lines end in LF.

Line breaks, tabs and quotes of a text survive within quotes; other controls are escaped (ocrctl/escape.py).
https://www.rfc-editor.org/rfc/rfc4180
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ocrctl.escape import visible
from ocrctl.inference.writers.prediction import Prediction

NAME = "csv"
SUFFIX = ".csv"
HEADER = "path,text,confidence"


def line(prediction: Prediction, folder: Path | None = None) -> str:
    """One record; any path and any text survive."""
    return record([prediction.path, prediction.text, f"{prediction.confidence:.4f}"])


def record(fields: Sequence[str]) -> str:
    """One record without its line end."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow([visible(field, keep="\t\r\n") for field in fields])
    return buffer.getvalue()
