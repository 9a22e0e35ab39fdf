"""JSON lines of pages, one object a page:

{"path": ..., "height": 720, "width": 1280, "boxes": [{"points": [[x, y], ...], "score": 0.97}, ...]}

and in each box, when a recogniser read it, "text" and "confidence".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ocrctl.escape import json_text
from ocrctl.inference.writers.prediction import PagePrediction

NAME = "jsonl"
SUFFIX = ".jsonl"
HEADER = ""


def line(prediction: PagePrediction, folder: Path | None = None) -> str:
    """One object; coordinates in pixels of the picture, to a hundredth."""
    found = prediction.found
    boxes: list[dict[str, Any]] = [
        {"points": np.round(found.polygon(index).astype(float), 2).tolist(), "score": round(float(score), 6)}
        for index, score in enumerate(found.scores)
    ]
    for box, word in zip(boxes, prediction.words or (), strict=prediction.words is not None):
        box |= {"text": word.text, "confidence": round(word.confidence, 6)}
    height, width = prediction.size
    page = {} if prediction.page is None else {"page": prediction.page}
    return json_text({"path": prediction.path, **page, "height": height, "width": width, "boxes": boxes})
