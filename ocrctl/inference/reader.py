"""Read whole pages: detect words, rectify each, and recognise it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.kept_aspect import TALL
from ocrctl.data.images import Image
from ocrctl.data.images.rectify import crop, on_image
from ocrctl.errors import UsageError
from ocrctl.inference.engine import TASKS, Engine, Recognition
from ocrctl.inference.reading_order import in_reading_order
from ocrctl.models.outlines.detections import Detections
from ocrctl.models.outlines.rectangles import Rectangles

NOTHING_READ = Recognition("", 0.0)


@dataclass(frozen=True)
class PageText:
    """The text of one page: outlines in its pixels, and one word for each, in their order."""

    found: Detections
    words: list[Recognition]


class PageReader:
    """Detect and recognise the words of pages.

    `PageReader(Engine.load("runs/detector"), Engine.load("runs/words")).read([rgb_array, ...])` is its use.
    """

    def __init__(self, detector: Engine, recogniser: Engine) -> None:
        """Combine two models. Raises UsageError when one has the wrong task."""
        for engine, wanted in ((detector, "detection"), (recogniser, "recognition")):
            if engine.card.task != wanted:
                found = TASKS[engine.card.task]
                raise UsageError(f"{engine.path}: {engine.card.arch} {found}; expected a model that {TASKS[wanted]}.")
        self.detector, self.recogniser = detector, recogniser

    def read(self, images: Sequence[Image], polygons: bool = False, batch_size: int = 1) -> list[PageText]:
        """Return outlines and texts of RGB uint8 images (h, w, 3) of any sizes, in input order; those of an image in
        reading order.

        `polygons` and `batch_size` (pages) are those of Engine.detect, which documents the errors.
        """
        found = [in_reading_order(one) for one in self.detector.detect(images, polygons, batch_size)]
        words = self.words(zip(images, found, strict=True), polygons)
        return [PageText(one, texts) for one, texts in zip(found, words, strict=True)]

    def words(
        self, pages: Iterable[tuple[Image, Detections]], polygons: bool = False, *, characters: bool = False
    ) -> list[list[Recognition]]:
        """Recognise one word per outline of each (RGB uint8 (h, w, 3), outlines in its pixels); batches hold words of
        several pages.

        A quad is rectified from its first point, the top left of its text; with `polygons`, whose first point is
        arbitrary, its minimum-area rectangle is. A crop at least TALL times as high as wide may be a short word or
        vertical text: whatever the recogniser's card says, it is recognised upright and turned by 90 degrees to either
        side (Engine.prepare_orientations). An outline under a pixel high or wide has an empty text. characters: with
        those of each word, x and y in pixels of its page.
        """
        nothing = replace(NOTHING_READ, characters=()) if characters else NOTHING_READ
        owners: list[tuple[int, int, NDArray[np.float64]]] = []
        texts: list[list[Recognition]] = []

        def crops() -> Iterator[Image]:
            for page, (image, found) in enumerate(pages):
                texts.append([nothing] * len(found))
                for index, points in enumerate(outlines(found, polygons)):
                    flat = crop(image, points)
                    if flat is not None:
                        owners.append((page, index, points))
                        yield flat

        read = self.recogniser.recognize(crops(), turn=TALL, characters=characters)
        for (page, index, points), word in zip(owners, read, strict=True):
            texts[page][index] = word.placed(on_image(word.positions, points)) if word.characters else word
        return texts


def outlines(found: Detections, polygons: bool) -> list[NDArray[np.float64]]:
    """Return the outlines that words are cropped by, each (4, 2): those of `found`, or with `polygons` the minimum-area
    rectangle around each."""
    points = [found.polygon(index) for index in range(len(found))]
    if polygons and points:
        return list(Rectangles.from_points(points).corners())
    return [one.astype(np.float64) for one in points]
