"""Run every model over every sample in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.kept_aspect import KeptAspect
from ocrctl.core.eval.word_samples import EvalSamples
from ocrctl.errors import InputError
from ocrctl.inference.engine import Engine, Recognition
from ocrctl.inference.prefetch import chunks, default_jobs, map_ahead
from ocrctl.metrics.evaluation import UnreadableSample

SampleIndex = tuple[int, int]  # (data set, sample)
Shape = tuple[int, int, int, KeptAspect | None]  # (height, width, channels, widths) a model takes
Orientations = list[NDArray[np.uint8]]  # of one word, resized for a model
Prepared = tuple[SampleIndex, dict[Shape, Orientations] | InputError]


def read_samples(
    engines: Sequence[Engine],
    data: Sequence[EvalSamples],
    batch_size: int,
    jobs: int | None,
    progress: Callable[[int, int], None],
) -> tuple[list[SampleIndex], list[list[Recognition]], list[UnreadableSample]]:
    """Run every engine over every sample; each image is decoded once, by `jobs` threads ahead of the models.

    Returns the indices of the readable samples, the results of each engine in that order, and the unreadable samples.
    """
    shapes = {_shape(engine): engine for engine in engines}
    chunk = max((engine.chunk_size(batch_size) for engine in engines), default=batch_size)

    def load(batch: list[SampleIndex]) -> list[Prepared]:
        return [(sample_index, _prepare(data[sample_index[0]], sample_index[1], shapes)) for sample_index in batch]

    todo = [(number, index) for number, samples in enumerate(data) for index in range(len(samples.labels))]
    sample_indices: list[SampleIndex] = []
    readings: list[list[Recognition]] = [[] for _ in engines]
    unreadable: list[UnreadableSample] = []
    progress(0, len(todo))
    for batch in map_ahead(load, chunks(todo, chunk), default_jobs() if jobs is None else jobs):
        good = []
        for sample_index, images in batch:
            if isinstance(images, InputError):
                unreadable.append(UnreadableSample(data[sample_index[0]].name, images.message))
            else:
                sample_indices.append(sample_index)
                good.append(images)
        if good:
            for engine, reading in zip(engines, readings, strict=True):
                reading += engine.recognize_orientations([images[_shape(engine)] for images in good], batch_size)
        progress(len(sample_indices) + len(unreadable), len(todo))
    return sample_indices, readings, unreadable


def _shape(engine: Engine) -> Shape:
    return (engine.card.height, engine.card.width, engine.card.channels, engine.card.kept)


def _prepare(samples: EvalSamples, index: int, shapes: dict[Shape, Engine]) -> dict[Shape, Orientations] | InputError:
    """Decode a sample once and resize it once per input size of the models."""
    try:
        image = samples.image(index)
        return {shape: engine.prepare_orientations(image) for shape, engine in shapes.items()}
    except InputError as error:
        return error
