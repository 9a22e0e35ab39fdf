"""Run one batch of decoded images through the engines: words to texts, pages to polygons and their texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol

from ocrctl.data.images import Image
from ocrctl.errors import InputError
from ocrctl.inference.engine import Engine, Recognition
from ocrctl.inference.pages import Page, same_sized
from ocrctl.inference.writers.prediction import PagePrediction, Prediction, Unreadable
from ocrctl.models.outlines.detections import Detections

if TYPE_CHECKING:
    from ocrctl.inference.reader import PageReader
from ocrctl.inference.reading_order import in_reading_order

Result = Prediction | PagePrediction | Unreadable


@dataclass(frozen=True)
class TaskResult:
    """A result, its image for what is drawn, its words with what was attended to, and of a word the width and height of
    its image."""

    result: Result
    image: Image | None = None
    words: Sequence[Recognition] = ()
    size: tuple[int, int] | None = None


class Task(Protocol):
    """How `predict` processes images of one task."""

    def prepare(self, image: Image) -> Any:
        """Preprocess an image for the model, in a thread. Raises InputError."""

    def read(self, batch: Sequence[tuple[str, Any]]) -> list[TaskResult]:
        """Run the model on (path, preprocessed image) pairs; returns the results in order."""


class WordTask:
    """Recognise word images."""

    def __init__(self, engine: Engine, batch_size: int, characters: bool = False) -> None:
        """`characters`: also find the confidence and position of each character. Results have their images where the
        engine explains."""
        self._engine, self._batch_size, self._characters = engine, batch_size, characters

    def prepare(self, image: Image) -> tuple[list[Image], tuple[int, int], Image | None]:
        """Implement Task. Returns the inputs of the model, width and height of the image, and the image if it is to be
        drawn on."""
        size = (image.shape[1], image.shape[0])
        return self._engine.prepare_orientations(image), size, image if self._engine.explains else None

    def read(self, batch: Sequence[tuple[str, tuple[list[Image], tuple[int, int], Image | None]]]) -> list[TaskResult]:
        """Implement Task."""
        images = [views for _, (views, _, _) in batch]
        texts = self._engine.recognize_orientations(images, self._batch_size, characters=self._characters)
        results = []
        for (path, (_, size, image)), item in zip(batch, texts, strict=True):
            characters = item.placed(item.positions * size).characters if self._characters else None
            prediction = Prediction(path, item.text, item.confidence, characters=characters)
            results.append(TaskResult(prediction, image, [item], size))
        return results


class PageTask:
    """Detect text on pages, and with a reader recognise it; a page whose maps are not finite is reported as
    unreadable."""

    def __init__(
        self, engine: Engine, reader: PageReader | None, polygons: bool, keep_images: bool, characters: bool = False
    ) -> None:
        """`reader`: one with `engine` as its detector; `keep_images`: return images with the results; `characters`:
        also find the confidence and position of each character."""
        self._engine, self._reader, self._polygons, self._keep = engine, reader, polygons, keep_images
        self._characters = characters

    def prepare(self, image: Image) -> tuple[Page, Image | None]:
        """Implement Task."""
        return self._engine.prepare_page(image), image if self._keep or self._reader else None

    def read(self, batch: Sequence[tuple[str, tuple[Page, Image | None]]]) -> list[TaskResult]:
        """Implement Task."""
        pages = [page for _, (page, _) in batch]
        maps = [one for group in same_sized(pages, len(pages)) for one in self._engine.maps(group)]
        found: list[Detections | InputError] = []
        for page, one in zip(pages, maps, strict=True):
            try:
                outlines = self._engine.find(one, page, self._polygons)
                found.append(in_reading_order(outlines) if self._reader else outlines)
            except InputError as error:
                found.append(error)
        images = [image for _, (_, image) in batch]
        words = self._words(images, found)
        results = []
        for (path, (page, image)), polygons in zip(batch, found, strict=True):
            if isinstance(polygons, InputError):
                results.append(TaskResult(Unreadable(path, f"{path}: {polygons.message}")))
            else:
                read = next(words)
                texts = read
                if read is not None and not self._characters:
                    texts = [replace(word, characters=None) for word in read]
                result = PagePrediction(path, polygons, page.size, texts)
                results.append(TaskResult(result, image if self._keep else None, read or ()))
        return results

    def _words(
        self, images: Sequence[Image | None], found: Sequence[Detections | InputError]
    ) -> Iterator[list[Recognition] | None]:
        """Yield the words of each page with valid polygons."""
        if self._reader is None:
            return repeat(None)
        valid = [
            (image, outlines)
            for image, outlines in zip(images, found, strict=True)
            if image is not None and not isinstance(outlines, InputError)
        ]
        return iter(self._reader.words(valid, self._polygons, characters=self._characters))
