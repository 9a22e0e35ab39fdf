"""What a writer is given: the text of one picture, what was found on one page, or why there is neither."""

from __future__ import annotations

from dataclasses import dataclass

from ocrctl.postprocess.detections import Detections


@dataclass(frozen=True)
class Prediction:
    """The text read in `path` (a file, or `LMDB/image-000000017`) with the engine's confidence, 0..1."""

    path: str
    text: str
    confidence: float


@dataclass(frozen=True)
class PagePrediction:
    """What was found on `path`, in its own pixels; `size` is its (height, width)."""

    path: str
    found: Detections
    size: tuple[int, int]


@dataclass(frozen=True)
class Unreadable:
    """An input that gave no text, and the sentence that says why. Never written as an empty prediction."""

    path: str
    error: str
