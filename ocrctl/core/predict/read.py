"""One batch of decoded pictures through the engines: words to texts, pages to outlines and their texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

import numpy as np

from ocrctl.data.images import Image
from ocrctl.errors import InputError
from ocrctl.inference.engine import Engine, Recognition
from ocrctl.inference.pages import Page, same_sized
from ocrctl.inference.reader import PageReader
from ocrctl.inference.writers.prediction import PagePrediction, Prediction, Unreadable
from ocrctl.models.outlines.detections import Detections

Result = Prediction | PagePrediction | Unreadable


@dataclass(frozen=True)
class Shown:
    """A result, and the picture where it is to be drawn on."""

    result: Result
    image: Image | None = None


class Task(Protocol):
    """What `predict` needs of what it does with pictures."""

    def prepare(self, image: Image) -> Any:
        """What the model takes, made ahead in a thread. Raises InputError."""

    def read(self, batch: Sequence[tuple[str, Any]]) -> list[Shown]:
        """(path, prepared) to results, in order."""


class WordTask:
    """Texts of word pictures."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prepare(self, image: Image) -> Image:
        """See Task."""
        return self._engine.prepare(image)

    def read(self, batch: Sequence[tuple[str, Image]]) -> list[Shown]:
        """See Task."""
        texts = self._engine.recognize_prepared(np.stack([image for _, image in batch])) if batch else []
        return [
            Shown(Prediction(path, item.text, item.confidence)) for (path, _), item in zip(batch, texts, strict=True)
        ]


class PageTask:
    """Outlines on pages, and with a reader their texts; a page whose maps are not finite is unreadable and does not
    stop the others."""

    def __init__(self, engine: Engine, reader: PageReader | None, polygons: bool, keep_images: bool) -> None:
        """`reader`: one with `engine` as its detector; `keep_images`: results come with their pictures."""
        self._engine, self._reader, self._polygons, self._keep = engine, reader, polygons, keep_images

    def prepare(self, image: Image) -> tuple[Page, Image | None]:
        """See Task."""
        return self._engine.prepare_page(image), image if self._keep or self._reader else None

    def read(self, batch: Sequence[tuple[str, tuple[Page, Image | None]]]) -> list[Shown]:
        """See Task."""
        pages = [page for _, (page, _) in batch]
        maps = [one for group in same_sized(pages, len(pages)) for one in self._engine.maps(group)]
        found: list[Detections | InputError] = []
        for page, one in zip(pages, maps, strict=True):
            try:
                found.append(self._engine.find(one, page, self._polygons))
            except InputError as error:
                found.append(error)
        images = [image for _, (_, image) in batch]
        words = self._words(images, found)
        results = []
        for (path, (page, image)), outlines in zip(batch, found, strict=True):
            if isinstance(outlines, InputError):
                results.append(Shown(Unreadable(path, f"{path}: {outlines.message}")))
            else:
                result = PagePrediction(path, outlines, page.size, next(words))
                results.append(Shown(result, image if self._keep else None))
        return results

    def _words(
        self, images: Sequence[Image | None], found: Sequence[Detections | InputError]
    ) -> Iterator[list[Recognition] | None]:
        """Of each page whose outlines are there."""
        if self._reader is None:
            return repeat(None)
        there = [
            (image, outlines)
            for image, outlines in zip(images, found, strict=True)
            if image is not None and not isinstance(outlines, InputError)
        ]
        return iter(self._reader.words(there, self._polygons))
