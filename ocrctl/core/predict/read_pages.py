"""Run one batch of decoded pages through a detector, and the words found through a recogniser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat

from ocrctl.core.predict.read import TaskResult
from ocrctl.data.images import Image
from ocrctl.errors import InputError
from ocrctl.inference.engine import Engine, Recognition
from ocrctl.inference.pages import Page, same_sized
from ocrctl.inference.reader import PageReader
from ocrctl.inference.reading_order import in_reading_order
from ocrctl.inference.writers.prediction import PagePrediction, Unreadable
from ocrctl.models.outlines.detections import Detections


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
