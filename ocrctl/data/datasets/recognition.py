"""Batches of word images and labels: each image is decoded once and resized once, uint8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import width_for_steps
from ocrctl.data.augment.words import MAX_WIDTH, augment_word, augmented_size
from ocrctl.data.datasets.mixture import Mixture
from ocrctl.data.datasets.share import share_of
from ocrctl.data.datasets.width_order import LANES, WidthOrder, batches_of_window
from ocrctl.data.formats.spec import WordSource
from ocrctl.data.images.decode import decode
from ocrctl.data.images.header import read_header
from ocrctl.data.images.orientations import orientations
from ocrctl.data.images.resize_word import pad_words, resize_kept, resize_word
from ocrctl.errors import OcrctlError
from ocrctl.text.normalize import normalize_label
from ocrctl.text.tokenizer import CTCTokenizer, Tokenizer

if TYPE_CHECKING:
    from ocrctl.data.synth import SynthWords


@dataclass
class WordBatch:
    """images: uint8 (N, H, W, C). labels: int64 (N, L) class ids, the tokenizer's `pad` past `lengths` (N,). ids:
    int64 (N,) positions in the stream. widths: int64 (N,), the columns of each image where the aspect ratio is kept;
    the others of W are padding."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    lengths: NDArray[np.int64]
    ids: NDArray[np.int64]
    widths: NDArray[np.int64] | None = None


class FiniteWords:
    """The chosen samples of one source."""

    def __init__(
        self, source: WordSource, indices: Sequence[int] | NDArray[np.int64], augment: float = 0.0,
        sizes: NDArray[np.int32] | None = None, max_width: int = MAX_WIDTH, turns: NDArray[np.int8] | None = None,
    ) -> None:  # fmt: skip
        """`indices`: samples of `source` to use. `augment`: strength in 0..1, 0 for none. `sizes`: width and height in
        pixels of every image of `source`, (len(source), 2); read from its header when it is needed and not given.
        `max_width`: of an augmented image in pixels (data.augment.words). `turns`: quarter turns to the left that bring
        each image of `source` upright, (len(source),); None: all are upright."""
        self.source = source
        self.indices = np.asarray(indices, dtype=np.int64)
        self.augment = augment
        self.sizes = sizes
        self.max_width = max_width
        self.turns = turns

    def __len__(self) -> int:
        return len(self.indices)

    def size(self, index: int, rng: np.random.Generator | None) -> tuple[tuple[int, int], str]:
        """Return (height, width) of the image of `sample(index, rng)`, and its label, without decoding it."""
        position = int(self.indices[index])
        if self.sizes is not None:
            width, height = self.sizes[position].tolist()
        else:
            data = self.source.image_bytes(position)
            header = read_header(data)
            width, height = header.displayed if header else decode(data, self.source.where(position)).shape[1::-1]
        if self.turns is not None and self.turns[position] % 2:
            height, width = width, height
        if rng is not None and self.augment > 0:
            height, width = augmented_size(height, width, rng, self.augment, self.max_width)
        return (height, width), self.source.labels[position]

    def sample(self, index: int, rng: np.random.Generator | None) -> tuple[NDArray[np.uint8], str]:
        """Return image (RGB uint8 (H, W, 3)) and label. `rng` drives the augmentation; with None there is none.

        Raises InputError naming the sample's location when its image cannot be decoded.
        """
        position = int(self.indices[index])
        image = decode(self.source.image_bytes(position), self.source.where(position))
        if self.turns is not None and self.turns[position]:
            image = np.ascontiguousarray(np.rot90(image, self.turns[position]))
        if rng is not None and self.augment > 0:
            image = augment_word(image, rng, self.augment, self.max_width)
        return image, self.source.labels[position]


class TrainingWords:
    """Endless training stream: the n-th sample is a pure function of (seed, n). Picklable, for loader workers.

    Where the aspect ratio is kept, draws are taken in an order by width (data.datasets.width_order): a sample number is
    a position in that order, which depends on (seed, batch_size) alone.
    """

    def __init__(
        self,
        parts: Sequence[FiniteWords | SynthWords],
        mixture: Mixture,
        spec: ModelSpec,
        tokenizer: Tokenizer,
        seed: int,
        batch_size: int = 1,
    ) -> None:
        """`batch_size`: samples of a batch, whose widths should be similar where the aspect ratio is kept."""
        self.parts = list(parts)
        self.mixture = mixture
        self.spec = spec
        self.tokenizer = tokenizer
        self.seed = seed
        self.excluded: frozenset[tuple[int, int]] = frozenset()
        self.order: WidthOrder | None = None
        if spec.keeps_aspect:
            lanes = 1 if all(isinstance(part, FiniteWords) for part in parts) else LANES
            batches = batches_of_window(mixture.epoch_size(), batch_size, lanes)
            self.order = WidthOrder(self.width, seed=seed, batch_size=batch_size, batches=batches, lanes=lanes)

    def sample(self, n: int) -> tuple[NDArray[np.uint8], str]:
        """Return the n-th image, resized: uint8 (height, width, channels), and its label. Where the aspect ratio is
        kept, an image that is too narrow for the output steps of its label is widened."""
        draw = self._draw(n)
        number, index = self.mixture.locate(draw)
        part = self.parts[number]
        image, label = part.sample(index, self._rng(draw)) if isinstance(part, FiniteWords) else part.sample(index)
        return resize_for(image, self.spec, label), label

    def width(self, draw: int) -> int:
        """Return the width of the image of a draw, in pixels of the input, without decoding it."""
        number, index = self.mixture.locate(draw)
        part = self.parts[number]
        (height, width), label = (
            part.size(index, self._rng(draw)) if isinstance(part, FiniteWords) else part.size(index)
        )
        kept = self.spec.kept
        assert kept is not None
        width = kept.width_of(height, width, self.spec.input_height)
        return min(max(width, min_label_width(self.spec, label)), kept.max_width)

    def exclude(self, samples: frozenset[tuple[int, int]]) -> Callable[[int], bool] | None:
        """Exclude samples (source, index) from the stream. Returns a filter for the numbers of the stream; None where
        it replaces them itself."""
        self.excluded = samples
        if self.order is None:
            return self._wanted
        self.order.replace_unwanted(self._wanted)
        return None

    def _wanted(self, draw: int) -> bool:
        return self.mixture.locate(draw) not in self.excluded

    def _draw(self, n: int) -> int:
        return n if self.order is None else self.order.draw(n)

    def _rng(self, draw: int) -> np.random.Generator:
        return np.random.Generator(np.random.SFC64((self.seed, 3, draw)))

    def label(self, n: int) -> str:
        """Return the n-th label, NFC, without its image where the source allows it."""
        number, index = self.mixture.locate(self._draw(n))
        part = self.parts[number]
        text = part.source.labels[int(part.indices[index])] if isinstance(part, FiniteWords) else part.label(index)
        return normalize_label(text)

    def locate(self, n: int) -> tuple[tuple[int, int], str]:
        """Return (source, index) of the n-th draw, the same for every draw of one sample, and its location for
        messages."""
        number, index = self.mixture.locate(self._draw(n))
        part = self.parts[number]
        where = part.source.where(int(part.indices[index])) if isinstance(part, FiniteWords) else f"synth:words {index}"
        return (number, index), where

    def __getitems__(self, numbers: Sequence[int]) -> WordBatch | OcrctlError:
        """Return the samples `numbers` as one batch. An OcrctlError is returned, not raised, so that it passes between
        processes unchanged."""
        try:
            images, labels = zip(*(self.sample(n) for n in numbers), strict=True)
            kept, longest = self.spec.kept if self.order else None, self._longest(numbers)
            return collate(images, labels, numbers, self.tokenizer, kept, longest)
        except OcrctlError as error:
            return error

    def _longest(self, numbers: Sequence[int]) -> int:
        """Return the class ids to which labels are padded: those of the longest label of the whole batch, where
        another process has it. The reading orders of an autoregressive model depend on it."""
        share = share_of(numbers)
        if share.parts == 1:
            return 0
        return max(len(self.tokenizer.encode(self.label(n))) for n in share.batch)


def resize_for(image: NDArray[np.uint8], spec: ModelSpec, label: str | None = None) -> NDArray[np.uint8]:
    """Resize RGB uint8 (h, w, 3) to the input of `spec`, uint8 (H, W, C); with `label`, widen it to the output steps
    that the label needs."""
    if spec.kept is None or not spec.keeps_aspect:
        return resize_word(image, spec.input_height, spec.input_width, spec.channels)
    min_width = 0 if label is None else min_label_width(spec, label)
    return resize_kept(image, spec.input_height, spec.kept, spec.channels, min_width)


def prepared_orientations(image: NDArray[np.uint8], spec: ModelSpec) -> list[NDArray[np.uint8]]:
    """Resize RGB uint8 (h, w, 3) to the input of `spec`, uint8 (H, W, C), in every orientation that it is read in, as
    Engine.prepare_orientations does."""
    tall = spec.keeps_aspect and spec.kept is not None and spec.kept.is_tall(*image.shape[:2])
    return [resize_for(view, spec) for view in (orientations(image) if tall else [image])]


def min_label_width(spec: ModelSpec, label: str) -> int:
    """Return the width in pixels that an image needs for the output steps of its label; 0 where any width will do."""
    return width_for_steps(spec, CTCTokenizer.required_steps(normalize_label(label)))


def collate(
    images: Sequence[NDArray[np.uint8]],
    labels: Sequence[str],
    numbers: Sequence[int],
    tokenizer: Tokenizer,
    kept: KeptAspect | None = None,
    longest: int = 0,
) -> WordBatch:
    """Stack one batch; with `kept`, pad its images to one width. `longest`: minimum class ids of a row of labels.

    Raises InputError for a label the tokenizer refuses, ValueError for images of unequal size.
    """
    encoded = [tokenizer.encode(label) for label in labels]
    lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
    padded = np.full((len(encoded), max(1, longest, int(lengths.max()))), tokenizer.pad, dtype=np.int64)
    for row, ids in zip(padded, encoded, strict=True):
        row[: len(ids)] = ids
    batch, widths = (np.stack(images), None) if kept is None else pad_words(images, kept)
    return WordBatch(batch, padded, lengths, np.asarray(numbers, dtype=np.int64), widths)
