"""Predictions that writers take, and the record of a writer of lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np

from ocrctl import escape
from ocrctl.inference.engine import Character, Recognition
from ocrctl.models.outlines.detections import Detections


@dataclass(frozen=True)
class Prediction:
    """Text and confidence (0..1) of the word image `path`: a file, `FILE#PAGE` with its `page`, or
    `LMDB/image-000000017`. characters: in pixels of the image, None unless asked for."""

    path: str
    text: str
    confidence: float
    page: int | None = None
    characters: Sequence[Character] | None = None

    @property
    def stem(self) -> str:
        """Return the file name without folder and suffix, with the page: `scan#2`."""
        return _stem(self.path, self.page)


@dataclass(frozen=True)
class PagePrediction:
    """Boxes on page `path` in its pixels; `size` is (height, width); `words` is the recognition of each box,
    None without a recogniser."""

    path: str
    found: Detections
    size: tuple[int, int]
    words: Sequence[Recognition] | None = None
    page: int | None = None

    @property
    def stem(self) -> str:
        """Return the file name without folder and suffix, with the page: `scan#2`."""
        return _stem(self.path, self.page)


@dataclass(frozen=True)
class Unreadable:
    """An input that cannot be read, and the error message. Never written as an empty prediction."""

    path: str
    error: str


def characters_json(characters: Sequence[Character]) -> list[dict[str, Any]]:
    """Return [{"text": ..., "confidence": ..., "x": ..., "y": ...}], coordinates to a hundredth of a pixel, null where
    the model does not tell a position."""
    places = [(None, None) if np.isnan(one.x) else (round(one.x, 2), round(one.y, 2)) for one in characters]
    return [
        {"text": one.text, "confidence": round(one.confidence, 6), "x": x, "y": y}
        for one, (x, y) in zip(characters, places, strict=True)
    ]


def _stem(path: str, page: int | None) -> str:
    if page is None:
        return PurePath(path).stem
    return f"{PurePath(path.removesuffix(f'#{page}')).stem}#{page}"


def spreadsheet_safe(prediction: Prediction | PagePrediction) -> Prediction | PagePrediction:
    """Return a copy whose path and texts no spreadsheet takes for formulas."""
    path = escape.spreadsheet_safe(prediction.path)
    if isinstance(prediction, Prediction):
        return replace(prediction, path=path, text=escape.spreadsheet_safe(prediction.text))
    words = prediction.words and [replace(word, text=escape.spreadsheet_safe(word.text)) for word in prediction.words]
    return replace(prediction, path=path, words=words)


@dataclass(frozen=True)
class LineWriter:
    """An output format of lines.

    header: first line, "" for none. line: (prediction, folder of the output file, None for stdout) to the line of a
    Prediction or the lines of a PagePrediction, without the final line end; raises InputError when the format cannot
    represent it.
    """

    name: str
    suffix: str
    header: str
    line: Callable[..., str]

    def spreadsheet_safe(self) -> LineWriter:
        """Return the same format with cells that no spreadsheet evaluates as formulas."""
        return replace(self, line=lambda prediction, folder=None: self.line(spreadsheet_safe(prediction), folder))
