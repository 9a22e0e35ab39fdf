"""One batch of decoded pictures through the engine: words to texts, pages to outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError
from ocrctl.inference.engine import Engine
from ocrctl.inference.pages import Page, same_sized
from ocrctl.inference.writers.prediction import PagePrediction, Prediction, Unreadable

Image = NDArray[np.uint8]
Result = Prediction | PagePrediction | Unreadable


@dataclass(frozen=True)
class Shown:
    """A result, and the picture where it is to be drawn on."""

    result: Result
    image: Image | None = None


class Reader(Protocol):
    """What `predict` needs of a task."""

    def prepare(self, image: Image) -> Any:
        """What the model takes, made ahead in a thread. Raises InputError."""

    def read(self, batch: Sequence[tuple[str, Any]]) -> list[Shown]:
        """(path, prepared) to results, in order."""


class WordReader:
    """Texts of word pictures."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prepare(self, image: Image) -> Image:
        """See Reader."""
        return self._engine.prepare(image)

    def read(self, batch: Sequence[tuple[str, Image]]) -> list[Shown]:
        """See Reader."""
        texts = self._engine.recognize_prepared(np.stack([image for _, image in batch])) if batch else []
        return [
            Shown(Prediction(path, item.text, item.confidence)) for (path, _), item in zip(batch, texts, strict=True)
        ]


class PageReader:
    """Outlines on pages; a page whose maps are not finite is unreadable and does not stop the others."""

    def __init__(self, engine: Engine, polygons: bool, keep_images: bool) -> None:
        """`keep_images`: results come with their pictures."""
        self._engine, self._polygons, self._keep = engine, polygons, keep_images

    def prepare(self, image: Image) -> tuple[Page, Image | None]:
        """See Reader."""
        return self._engine.prepare_page(image), image if self._keep else None

    def read(self, batch: Sequence[tuple[str, tuple[Page, Image | None]]]) -> list[Shown]:
        """See Reader."""
        pages = [page for _, (page, _) in batch]
        maps = [one for group in same_sized(pages, len(pages)) for one in self._engine.maps(group)]
        results = []
        for (path, (page, image)), one in zip(batch, maps, strict=True):
            try:
                found = self._engine.find(one, page, self._polygons)
                results.append(Shown(PagePrediction(path, found, page.size), image))
            except InputError as error:
                results.append(Shown(Unreadable(path, f"{path}: {error.message}")))
        return results
