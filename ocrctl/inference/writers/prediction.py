"""What a writer is given: the text of one picture, what was found on one page, or why there is neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from ocrctl import escape
from ocrctl.inference.engine import Recognition
from ocrctl.models.outlines.detections import Detections


@dataclass(frozen=True)
class Prediction:
    """The text read in `path` (a file, `FILE#PAGE` with its `page`, or `LMDB/image-000000017`) with the engine's
    confidence, 0..1."""

    path: str
    text: str
    confidence: float
    page: int | None = None

    @property
    def stem(self) -> str:
        """Name without folder and suffix, with the page: `scan#2`."""
        return _stem(self.path, self.page)


@dataclass(frozen=True)
class PagePrediction:
    """What was found on `path`, in its own pixels; `size` is its (height, width); `words` what each outline reads, None
    when no recogniser was asked."""

    path: str
    found: Detections
    size: tuple[int, int]
    words: Sequence[Recognition] | None = None
    page: int | None = None

    @property
    def stem(self) -> str:
        """Name without folder and suffix, with the page: `scan#2`."""
        return _stem(self.path, self.page)


@dataclass(frozen=True)
class Unreadable:
    """An input that gave no text, and the sentence that says why. Never written as an empty prediction."""

    path: str
    error: str


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
