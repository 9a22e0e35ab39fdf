"""Run one batch of decoded word images through a recogniser; what `predict` requires of a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ocrctl.data.images import Image
from ocrctl.inference.engine import Engine, Recognition
from ocrctl.inference.writers.prediction import PagePrediction, Prediction, Unreadable

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
