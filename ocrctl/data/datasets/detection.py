"""Batches of annotated pages: each image is decoded once and warped once, and its targets are computed with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.augment.pages import PageAugment, degrade_page, reduction, sample_view, warp_page
from ocrctl.data.datasets.collate import PageBatch, collate
from ocrctl.data.datasets.mixture import Mixture
from ocrctl.data.formats.to_page_words import check_shapes, expect_pages, page_words
from ocrctl.data.images import Image
from ocrctl.data.images.decode import decode
from ocrctl.data.images.header import read_header
from ocrctl.data.images.resize_page import MULTIPLE
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.errors import OcrctlError, UsageError

Targets = Callable[[PageWords, int, int], Mapping[str, Any]]  # words in the input's pixels, height, width
Size = tuple[int, int]  # height, width


class PageStream(Protocol):
    """An endless source of images at the network's input size, such as synthetic pages."""

    def sample(self, index: int) -> tuple[Image, PageWords]:
        """Return RGB uint8 (H, W, 3) and its words, a pure function of the settings and `index`."""


class PageSource:
    """The chosen images of one annotated set. No polygon is filtered here: `dataset validate` checks them."""

    def __init__(
        self, data: Annotations, images: Sequence[int] | NDArray[np.int64] | None = None,
        augment: PageAugment | None = None,
    ) -> None:  # fmt: skip
        """`images`: those of `data` to use, all by default; without `augment` images are not augmented.

        Raises UsageError for word images, InputError naming the location of a polygon with fewer than three points or
        coordinates that are not finite.
        """
        expect_pages(data)
        check_shapes(data)
        self.data = data
        self.images = np.arange(len(data.images)) if images is None else np.asarray(images, np.int64)
        self.augment = augment or PageAugment(strength=0.0)
        self._spans = data.spans()

    def __len__(self) -> int:
        return len(self.images)

    def where(self, index: int) -> str:
        """Return the location of an image for messages."""
        return self.data.image_where(int(self.images[index]))

    def words(self, index: int) -> PageWords:
        """Return the words of image `index`, in its own pixels."""
        image = int(self.images[index])
        return page_words(self.data, int(self._spans[image]), int(self._spans[image + 1]))

    def page(self, index: int) -> tuple[Image, PageWords]:
        """Return image `index` as displayed, RGB uint8 (H, W, 3), and its words. Raises InputError naming its location
        when it cannot be decoded."""
        image = decode(self.data.image_bytes(int(self.images[index])), self.where(index))
        return image, self.words(index)

    def view_page(self, index: int, window: Size, r: Random) -> tuple[Image, PageWords]:
        """Return image `index` in a window of (height, width), warped by `augment`, and the words in the window's
        pixels. A JPEG that is shrunk is decoded at reduced size."""
        data = self.data.image_bytes(int(self.images[index]))
        words = self.words(index)
        header = read_header(data)
        image = decode(data, self.where(index)) if header is None else None
        width, height = header.displayed if header else (image.shape[1], image.shape[0])  # type: ignore[union-attr]
        view = sample_view((height, width), words, window, self.augment, r)
        if image is None:
            part = reduction(view.scale) if data.startswith(b"\xff\xd8") else 1
            image = decode(data, self.where(index), part)
        return warp_page(image, view, (height, width)), words.moved(view.matrix).within(*window)

    def sample(self, index: int, size: Size, r: Random) -> tuple[Image, PageWords]:
        """Return image `index` at the network's input size, sometimes in a mosaic of four, augmented in colour."""
        if self.augment.mosaic and r.random() < self.augment.mosaic:
            image, words = self._mosaic(index, size, r)
        else:
            image, words = self.view_page(index, size, r)
        return degrade_page(image, words, self.augment, r) if self.augment.strength else image, words

    def _mosaic(self, index: int, size: Size, r: Random) -> tuple[Image, PageWords]:
        """Combine four images around a point near the centre, each warped directly into its quarter."""
        height, width = size
        middle_y, middle_x = (round(length * (0.35 + 0.3 * r.random())) for length in size)
        out = np.empty((height, width, 3), np.uint8)
        parts = []
        for quarter, (top, left) in enumerate(((0, 0), (0, middle_x), (middle_y, 0), (middle_y, middle_x))):
            bottom, right = (height if top else middle_y), (width if left else middle_x)
            other = index if quarter == 0 else int(r.random() * len(self))
            out[top:bottom, left:right], words = self.view_page(other, (bottom - top, right - left), r)
            parts.append(words.moved(np.array(((1.0, 0.0, left), (0.0, 1.0, top), (0.0, 0.0, 1.0)))))
        return out, PageWords.joined(parts)


class TrainingPages:
    """Endless training stream: the n-th sample is a pure function of (seed, n). Picklable, for loader workers."""

    def __init__(
        self, parts: Sequence[PageSource | PageStream], mixture: Mixture, size: Size, targets: Targets, seed: int
    ) -> None:  # fmt: skip
        """`size`: height and width of the network's input. `targets`: a module-level function, so that it can be
        pickled. Raises UsageError when a side is not a multiple of 32."""
        if min(size) < MULTIPLE or size[0] % MULTIPLE or size[1] % MULTIPLE:
            raise UsageError(f"Detection input {size[0]}x{size[1]}: sides must be multiples of {MULTIPLE}.")
        self.parts = list(parts)
        self.mixture = mixture
        self.size = size
        self.targets = targets
        self.seed = seed

    def sample(self, n: int) -> tuple[Image, PageWords]:
        """Return the n-th image, RGB uint8 (H, W, 3) of the input size, and its words. Raises InputError naming the
        location of an image that cannot be read."""
        number, index = self.mixture.locate(n)
        part = self.parts[number]
        if isinstance(part, PageSource):
            return part.sample(index, self.size, Random((self.seed << 64) + n))
        return part.sample(index)

    def locate(self, n: int) -> tuple[tuple[int, int], str]:
        """Return (source, index) of the n-th draw, the same for every draw of one image, and its location for
        messages."""
        number, index = self.mixture.locate(n)
        part = self.parts[number]
        return (number, index), part.where(index) if isinstance(part, PageSource) else f"synth:pages {index}"

    def exclude(self, samples: frozenset[tuple[int, int]]) -> Callable[[int], bool] | None:
        """Exclude samples (source, index) from the stream; returns a filter for the numbers of the stream."""
        return lambda n: self.mixture.locate(n) not in samples

    def __getitems__(self, numbers: Sequence[int]) -> PageBatch | OcrctlError:
        """Return the samples `numbers` as one batch. An OcrctlError is returned, not raised, so that it passes between
        processes unchanged."""
        try:
            images, targets = [], []
            for n in numbers:
                image, words = self.sample(n)
                images.append(image)
                targets.append(self.targets(words, *self.size))
            return collate(images, targets, numbers)
        except OcrctlError as error:
            return error
