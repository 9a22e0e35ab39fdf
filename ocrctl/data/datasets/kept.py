"""Images that a fine-tuning keeps reading as its base model does: a part of every batch, without labels.

Every batch of B new samples brings the same number M of kept images (`kept_per_batch`): a batch from sample number n on
brings the draws floor(n M / B) ... floor(n M / B) + M - 1 of the stream of kept images. Batch b of a run
without excluded samples thus brings batch b of that stream, which may be ordered by width (data.datasets.width_order).
Processes that divide a batch (data.datasets.share) divide its kept images, too.
The new samples of a run are the same with and without kept images, and a batch remains a function of (seed, numbers).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.datasets.share import share_of, slice_of
from ocrctl.data.lmdb.word_source import FolderWords, WordSource
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.errors import InputError, OcrctlError

IMAGES = "images:"  # prefix of a SPEC: a folder of images without labels
SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif"))


class Stream(Protocol):
    """A stream of training samples by draw number, as data.datasets.recognition.TrainingWords."""

    def __getitems__(self, numbers: Sequence[int]) -> Any:
        """Return the samples `numbers` as one batch, or the OcrctlError that one of them raised."""


class BatchWithKept:
    """The fields of a batch, and `kept`: images uint8 (M, H, W, C), ids (M,) their draws and, where the aspect ratio is
    kept, widths (M,)."""

    def __init__(self, batch: Any, kept: dict[str, NDArray[Any]]) -> None:
        vars(self).update(vars(batch))
        self.kept = kept


def kept_per_batch(batch_size: int, share: float) -> int:
    """Return the number of kept images for each batch of `batch_size` new ones: what makes `share` (above 0, below 1)
    of all its images kept ones, rounded, at least 1."""
    return max(1, round(batch_size * share / (1 - share)))


class WithKept:
    """A training stream whose batches also bring images of `kept`. Picklable, for loader workers."""

    def __init__(self, samples: Any, kept: Stream, batch_size: int, per_batch: int) -> None:
        """`per_batch`: kept images for each batch of `batch_size` new samples."""
        self.samples, self.kept = samples, kept
        self.batch_size, self.per_batch = batch_size, per_batch

    def draws(self, numbers: Sequence[int]) -> range:
        """Return the draws of kept images of a batch, or of the part of it that a process takes."""
        share = share_of(numbers)
        start = share.batch[0] * self.per_batch // self.batch_size
        return range(start, start + self.per_batch)[slice_of(self.per_batch, share.part, share.parts)]

    def __getitems__(self, numbers: Sequence[int]) -> Any:
        """Return the samples `numbers` and their kept images as one batch, or the OcrctlError of one of them."""
        batch = self.samples.__getitems__(numbers)
        if isinstance(batch, OcrctlError):
            return batch
        kept = self.kept.__getitems__(self.draws(numbers))
        if isinstance(kept, OcrctlError):
            return kept
        fields = {"images": kept.images, "ids": kept.ids}
        if getattr(kept, "widths", None) is not None:
            fields["widths"] = kept.widths
        return BatchWithKept(batch, fields)


class WithoutLabels:
    """A source whose labels are replaced by one that every tokenizer accepts; they are not learned."""

    def __init__(self, source: WordSource, label: str) -> None:
        self.source, self.label = source, label
        self.labels: Sequence[str] = [label] * len(source)

    @property
    def name(self) -> str:
        """Implement WordSource."""
        return self.source.name

    def __len__(self) -> int:
        return len(self.source)

    def image_bytes(self, index: int) -> bytes:
        """Implement WordSource."""
        return self.source.image_bytes(index)

    def where(self, index: int) -> str:
        """Implement WordSource."""
        return self.source.where(index)


def no_targets(words: PageWords, height: int, width: int) -> dict[str, Any]:
    """Return no target maps: kept pages need none."""
    return {}


def image_words(folder: Path) -> FolderWords:
    """Return the word images below `folder`, without labels. Raises InputError when there is none."""
    files = _files(folder)
    return FolderWords(str(folder), str(folder), files, [""] * len(files))


def image_pages(folder: Path) -> Annotations:
    """Return the pages below `folder`, without annotations. Raises InputError when there is none."""
    builder = Builder(folder, "images")
    builder.label_file(folder)
    for name in _files(folder):
        builder.image(name)
    return builder.build(folder)


def _files(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise InputError(f"{IMAGES}{folder}: expected a folder of images.")
    found = [
        os.path.relpath(os.path.join(base, name), folder)
        for base, _, names in os.walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")
    ]
    if not found:
        raise InputError(f"{folder}: holds no images.")
    return sorted(found)
