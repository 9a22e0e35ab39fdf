"""Polygons of many images as flat arrays, for ground truth and detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.polygons.page_words import PageWords


class Found(Protocol):
    """Boxes of one image, as a detector's postprocess returns them."""

    @property
    def points(self) -> NDArray[np.floating]:
        """Return the points (P, 2)."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Return the offsets (N + 1,)."""

    @property
    def scores(self) -> NDArray[np.floating]:
        """Return the scores (N,)."""


@dataclass(frozen=True)
class Instances:
    """I images with N polygons and P points in all; polygons are in the order of their images.

    Raises ValueError when the columns have different lengths or a coordinate is not finite.
    """

    points: NDArray[np.float64]  # (P, 2) pixels, x right, y down
    offsets: NDArray[np.int64]  # (N + 1,) polygon i owns points[offsets[i]:offsets[i + 1]]
    spans: NDArray[np.int64]  # (I + 1,) image i owns the polygons spans[i] up to spans[i + 1]
    ignore: NDArray[np.bool_]  # (N,) don't-care
    texts: list[str]  # (N,), empty where unknown
    scores: NDArray[np.float64] | None = None  # (N,)

    def __post_init__(self) -> None:
        count = len(self.offsets) - 1
        columns = (int(self.spans[-1]), len(self.ignore), len(self.texts))
        if columns != (count,) * 3 or self.offsets[-1] != len(self.points):
            raise ValueError(
                f"{count} polygons of {self.offsets[-1]} points, but {len(self.points)} points, and spans, flags and "
                f"texts of {', '.join(map(str, columns))} polygons"
            )
        if not np.isfinite(self.points).all():
            raise ValueError(f"{int((~np.isfinite(self.points)).sum())} coordinates are not finite")

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def num_images(self) -> int:
        """Return I."""
        return len(self.spans) - 1

    @property
    def image(self) -> NDArray[np.int64]:
        """Return the image (N,) of each polygon."""
        return np.repeat(np.arange(self.num_images), np.diff(self.spans))

    def pick(self, order: NDArray[np.int64]) -> Instances:
        """Return the polygons `order`, which must be ascending by image."""
        kept = np.bincount(self.image[order], minlength=self.num_images)
        return self._rows(order, kept)

    def select_images(self, images: Sequence[int]) -> Instances:
        """Return the images with these numbers, in this order; -1 is an image without a polygon."""
        spans = self.spans.tolist()
        members = [range(spans[i], spans[i + 1]) if i >= 0 else range(0) for i in images]
        rows = np.fromiter((i for one in members for i in one), np.int64)
        return self._rows(rows, np.array([len(one) for one in members], np.int64))

    def _rows(self, order: NDArray[np.int64], counts: NDArray[np.int64]) -> Instances:
        sizes = np.diff(self.offsets)[order]
        offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        rows = np.repeat(self.offsets[:-1][order] - offsets[:-1], sizes) + np.arange(offsets[-1])
        return replace(
            self,
            points=self.points[rows],
            offsets=offsets,
            spans=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            ignore=self.ignore[order],
            texts=[self.texts[i] for i in order.tolist()],
            scores=self.scores[order] if self.scores is not None else None,
        )


def from_annotations(data: Annotations, scores: NDArray[np.float64] | None = None) -> Instances:
    """Convert an annotated dataset, image by image."""
    return Instances(data.points, data.offsets, data.spans(), data.ignore, data.texts, scores)


def from_words(pages: Sequence[PageWords]) -> Instances:
    """Convert the words of pages, in the order of `pages`."""
    joined = PageWords.joined(list(pages))
    spans = np.cumsum([0, *(len(page) for page in pages)]).astype(np.int64)
    return Instances(joined.points, joined.offsets, spans, joined.ignore, joined.texts)


def from_detections(images: Sequence[Found]) -> Instances:
    """Convert the boxes found in each image, in the order of `images`."""
    counts = [len(found.offsets) - 1 for found in images]
    sizes = [np.diff(found.offsets) for found in images]
    points = [np.asarray(found.points, np.float64).reshape(-1, 2) for found in images]
    scores = [np.asarray(found.scores, np.float64) for found in images]
    total = sum(counts)
    return Instances(
        np.concatenate([np.zeros((0, 2)), *points]),
        np.cumsum(np.concatenate([np.zeros(1, np.int64), *sizes])).astype(np.int64),
        np.cumsum([0, *counts]).astype(np.int64),
        np.zeros(total, np.bool_),
        [""] * total,
        np.concatenate([np.zeros(0), *scores]),
    )
