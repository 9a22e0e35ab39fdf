"""JSON lines: {"path": ..., "text": ..., "confidence": ...}, UTF-8, one object a line."""

from __future__ import annotations

from pathlib import Path

from ocrctl.escape import json_text
from ocrctl.inference.writers.prediction import Prediction

NAME = "jsonl"
SUFFIX = ".jsonl"
HEADER = ""


def line(prediction: Prediction, folder: Path | None = None) -> str:
    """One object; any path and any text survive."""
    fields = {"path": prediction.path, "text": prediction.text, "confidence": round(prediction.confidence, 6)}
    return json_text(fields)
