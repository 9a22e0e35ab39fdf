"""Batches of word images and labels: each image is decoded once and resized once, uint8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_spec import ModelSpec
from ocrctl.data.augment.words import augment_word
from ocrctl.data.datasets.mixture import Mixture
from ocrctl.data.formats.spec import WordSource
from ocrctl.data.images.decode import decode
from ocrctl.data.images.resize_word import resize_word
from ocrctl.errors import OcrctlError
from ocrctl.text.normalize import normalize_label
from ocrctl.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from ocrctl.data.synth import SynthWords


@dataclass
class WordBatch:
    """images: uint8 (N, H, W, C). labels: int64 (N, L) class ids, the tokenizer's `pad` past `lengths` (N,). ids:
    int64 (N,) draw numbers."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    lengths: NDArray[np.int64]
    ids: NDArray[np.int64]


class FiniteWords:
    """The chosen samples of one source."""

    def __init__(self, source: WordSource, indices: Sequence[int] | NDArray[np.int64], augment: float = 0.0) -> None:
        """`indices`: samples of `source` to use. `augment`: strength in 0..1, 0 for none."""
        self.source = source
        self.indices = np.asarray(indices, dtype=np.int64)
        self.augment = augment

    def __len__(self) -> int:
        return len(self.indices)

    def sample(self, index: int, rng: np.random.Generator | None) -> tuple[NDArray[np.uint8], str]:
        """Return image (RGB uint8 (H, W, 3)) and label. `rng` drives the augmentation; with None there is none.

        Raises InputError naming the sample's location when its image cannot be decoded.
        """
        position = int(self.indices[index])
        image = decode(self.source.image_bytes(position), self.source.where(position))
        if rng is not None and self.augment > 0:
            image = augment_word(image, rng, self.augment)
        return image, self.source.labels[position]


class TrainingWords:
    """Endless training stream: the n-th sample is a pure function of (seed, n). Picklable, for loader workers."""

    def __init__(
        self,
        parts: Sequence[FiniteWords | SynthWords],
        mixture: Mixture,
        spec: ModelSpec,
        tokenizer: Tokenizer,
        seed: int,
    ) -> None:
        self.parts = list(parts)
        self.mixture = mixture
        self.spec = spec
        self.tokenizer = tokenizer
        self.seed = seed

    def sample(self, n: int) -> tuple[NDArray[np.uint8], str]:
        """Return the n-th image, resized: uint8 (height, width, channels), and its label."""
        number, index = self.mixture.locate(n)
        part = self.parts[number]
        if isinstance(part, FiniteWords):
            image, label = part.sample(index, np.random.Generator(np.random.SFC64((self.seed, 3, n))))
        else:
            image, label = part.sample(index)
        return resize_word(image, self.spec.input_height, self.spec.input_width, self.spec.channels), label

    def label(self, n: int) -> str:
        """Return the n-th label, NFC, without its image where the source allows it."""
        number, index = self.mixture.locate(n)
        part = self.parts[number]
        text = part.source.labels[int(part.indices[index])] if isinstance(part, FiniteWords) else part.sample(index)[1]
        return normalize_label(text)

    def locate(self, n: int) -> tuple[tuple[int, int], str]:
        """Return (source, index) of the n-th draw, the same for every draw of one sample, and its location for
        messages."""
        number, index = self.mixture.locate(n)
        part = self.parts[number]
        where = part.source.where(int(part.indices[index])) if isinstance(part, FiniteWords) else f"synth:words {index}"
        return (number, index), where

    def __getitems__(self, numbers: Sequence[int]) -> WordBatch | OcrctlError:
        """Return the samples `numbers` as one batch. An OcrctlError is returned, not raised, so that it passes between
        processes unchanged."""
        try:
            images, labels = zip(*(self.sample(n) for n in numbers), strict=True)
            return collate(images, labels, numbers, self.tokenizer)
        except OcrctlError as error:
            return error


def collate(
    images: Sequence[NDArray[np.uint8]], labels: Sequence[str], numbers: Sequence[int], tokenizer: Tokenizer
) -> WordBatch:
    """Stack one batch. Raises InputError for a label the tokenizer refuses, ValueError for images of unequal size."""
    encoded = [tokenizer.encode(label) for label in labels]
    lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
    padded = np.full((len(encoded), max(1, int(lengths.max()))), tokenizer.pad, dtype=np.int64)
    for row, ids in zip(padded, encoded, strict=True):
        row[: len(ids)] = ids
    return WordBatch(np.stack(images), padded, lengths, np.asarray(numbers, dtype=np.int64))
