"""JSON lines: {"path": ..., "text": ..., "confidence": ...}, UTF-8, one object a line; "page"
stands behind the path of a page of a TIFF."""

from __future__ import annotations

from pathlib import Path

from ocrctl.escape import json_text
from ocrctl.inference.writers.prediction import Prediction

NAME = "jsonl"
SUFFIX = ".jsonl"
HEADER = ""


def line(prediction: Prediction, folder: Path | None = None) -> str:
    """One object; any path and any text survive."""
    page = {} if prediction.page is None else {"page": prediction.page}
    said = {"text": prediction.text, "confidence": round(prediction.confidence, 6)}
    return json_text({"path": prediction.path, **page, **said})
