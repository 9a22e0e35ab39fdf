"""Validation: read samples ahead, run the model and score it; one class per task with one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from threading import Thread
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ocrctl.config.model_card import ModelCard
from ocrctl.data.images.orientations import best_orientation
from ocrctl.data.images.resize_word import pad_words, word_batches
from ocrctl.errors import ResumableStop
from ocrctl.metrics.recognition import describe_constant_predictions, score
from ocrctl.models.finite_arrays import not_finite_output
from ocrctl.models.ocr_model import OCRModel, best_classes
from ocrctl.text.tokenizer import Tokenizer
from ocrctl.training.previews import preview_sheet

Row = dict[str, float]
Gather = Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Scores:
    """One validation: its columns of metrics.csv, the figure that makes a checkpoint the best (0..1), a line, and a
    clause on predictions that are (nearly) all empty or one string, None for others."""

    row: Row
    goal: float
    line: str
    constant: str | None = None


class Validation(Protocol):
    """Interface of a validation: iterating yields batches for `step`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return its columns of metrics.csv."""

    def read_ahead(self) -> None:
        """Start reading the samples, once, so that one that cannot be read ends the run at its first steps."""

    def check(self) -> None:
        """Raise the error of reading ahead, if there was one."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Iterate over batches in a fixed order."""

    def divide(self, rank: int, world: int) -> None:
        """Iterate over the share of process `rank` of `world` alone from now on."""

    def merge(self, gather: Gather) -> None:
        """Take in the outputs of all processes; `gather` returns a value of each of them, by rank."""

    def begin(self) -> None:
        """Forget the last validation's outputs."""

    def step(self, model: OCRModel, batch: dict[str, Tensor]) -> None:
        """Take the model's outputs for one batch."""

    def score(self) -> Scores:
        """Return the metrics of the outputs since `begin`."""

    def sheet(self, count: int) -> NDArray[np.uint8]:
        """Draw an image (H, W, 3) of the first `count` samples with truth and prediction."""


def refuse_not_finite(name: str, values: NDArray[np.floating]) -> None:
    """Raise ResumableStop when outputs of a validation are not finite: the weights are, or training had stopped."""
    if held := not_finite_output(name, values):
        raise ResumableStop(
            f"Validation: {held}, although its weights are finite.",
            hint="start a new run with a lower train.lr, or with train.precision=32-true",
        )


class ReadAhead:
    """Something read in a thread beside the first steps, once, and kept."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self._ahead: Future[Any] = Future()
        self._started = False

    def start(self) -> None:
        """Start reading, if that has not begun."""
        if not self._started:
            self._started = True
            Thread(target=self._fill, name="validation", daemon=True).start()

    def check(self) -> None:
        """Raise the error of the thread, if there was one."""
        if self._ahead.done() and (error := self._ahead.exception()):
            raise error

    def get(self) -> Any:
        """Return what was read; waits for the thread."""
        self.start()
        return self._ahead.result()

    def _fill(self) -> None:
        try:
            self._ahead.set_result(self._read())
        except BaseException as error:
            self._ahead.set_exception(error)


class WordValidation:
    """Word images, decoded and resized once, and kept (32x128 grey: 4 KiB each); tall ones in several orientations, of
    which the most confident reading is scored, as by the engine."""

    columns: tuple[str, ...] = ("val_exact", "val_str36", "val_cer", "val_empty")

    def __init__(
        self,
        read: Callable[[], tuple[Sequence[Sequence[NDArray[np.uint8]]], list[str]]],
        card: ModelCard,
        tokenizer: Tokenizer,
        batch_size: int,
    ) -> None:
        """`read` gives for each sample its image uint8 (H, W, C) in every orientation that it is read in, resized for
        the model of `card`, and its label."""
        self._read = ReadAhead(read)
        self._card, self._tokenizer, self._batch_size = card, tokenizer, batch_size
        self._rank, self._world = 0, 1
        self._rows: list[int] = []  # of the images, in the order in which they are read
        self._texts: list[tuple[str, float]] = []

    def read_ahead(self) -> None:
        """Implement Validation."""
        self._read.start()

    def check(self) -> None:
        """Implement Validation."""
        self._read.check()

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        card, self._rows = self._card, []
        images = [view for views in self._read.get()[0] for view in views]
        batches = word_batches(images, self._batch_size, card.kept, card.example_width)
        for rows, batch, widths in islice(batches, self._rank, None, self._world):
            self._rows += rows
            tensors = {"images": torch.from_numpy(batch).permute(0, 3, 1, 2)}
            yield tensors if widths is None else {**tensors, "widths": torch.from_numpy(widths)}

    def divide(self, rank: int, world: int) -> None:
        """Implement Validation: every process reads all images, and takes every `world`-th batch."""
        self._rank, self._world = rank, world

    def merge(self, gather: Gather) -> None:
        """Implement Validation."""
        if self._world > 1:
            found = gather((self._rows, self._texts))
            self._rows = [row for rows, _ in found for row in rows]
            self._texts = [text for _, texts in found for text in texts]

    def begin(self) -> None:
        """Implement Validation."""
        self._texts = []

    def step(self, model: OCRModel, batch: dict[str, Tensor]) -> None:
        """Decode one batch greedily, in order."""
        named = {"widths": batch["widths"]} if "widths" in batch else {}
        ids, probabilities = best_classes(model(batch["images"], **named)["logits"])
        shares = probabilities.cpu().numpy()
        refuse_not_finite("probabilities", shares)
        self._texts += self._tokenizer.decode(ids.cpu().numpy(), shares)

    def score(self) -> Scores:
        """Compute accuracies in 0..1, character error rate, share of empty predictions."""
        truths, texts = self._read.get()[1], self._in_order()
        exact, str36 = score(truths, texts), score(truths, texts, "str36").accuracy
        row = {
            "val_exact": exact.accuracy, "val_str36": str36, "val_cer": exact.cer, "val_empty": exact.empty_rate,
        }  # fmt: skip
        line = f"val exact {exact.accuracy:.1%}, str36 {str36:.1%}, CER {exact.cer:.3f}, empty {exact.empty_rate:.1%}"
        return Scores(row, exact.accuracy, line, describe_constant_predictions(texts, truths))

    def sheet(self, count: int) -> NDArray[np.uint8]:
        """Implement Validation."""
        samples, truths = self._read.get()
        images = [views[0] for views in samples[:count]]
        shown = np.stack(images) if self._card.kept is None else pad_words(images, self._card.kept)[0]
        return preview_sheet(shown, truths[:count], self._in_order()[:count])

    def _in_order(self) -> list[str]:
        """The strings read since `begin`, in the order of the samples."""
        by_row = dict(zip(self._rows, self._texts, strict=True))
        found, start = [], 0
        for views in self._read.get()[0]:
            readings = [by_row[start + number] for number in range(len(views))]
            found.append(readings[best_orientation([confidence for _, confidence in readings])][0])
            start += len(views)
        return found
