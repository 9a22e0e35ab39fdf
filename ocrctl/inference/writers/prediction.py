"""What a writer is given: one picture's text, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """The text read in `path` (a file, or `LMDB/image-000000017`) with the engine's confidence, 0..1."""

    path: str
    text: str
    confidence: float


@dataclass(frozen=True)
class Unreadable:
    """An input that gave no text, and the sentence that says why. Never written as an empty prediction."""

    path: str
    error: str
