"""Every sample through every model: the one pass over pictures that an evaluation makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ocrctl.core.eval.word_samples import EvalSamples
from ocrctl.errors import InputError
from ocrctl.inference.engine import Engine, Recognition
from ocrctl.inference.prefetch import chunks, default_jobs, map_ahead
from ocrctl.metrics.evaluation import UnreadableSample

Place = tuple[int, int]  # (data set, sample)
Shape = tuple[int, int, int]  # (height, width, channels) a model takes
Prepared = tuple[Place, dict[Shape, NDArray[np.uint8]] | InputError]


def read_samples(
    engines: Sequence[Engine],
    data: Sequence[EvalSamples],
    batch_size: int,
    jobs: int | None,
    progress: Callable[[int, int], None],
) -> tuple[list[Place], list[list[Recognition]], list[UnreadableSample]]:
    """Run every engine over every sample, each picture decoded once, `jobs` threads ahead of the models.

    Returns the places of the readable samples, each engine's readings in that order, and the unreadable samples.
    """
    shapes = {_shape(engine): engine for engine in engines}

    def load(batch: list[Place]) -> list[Prepared]:
        return [(place, _prepare(data[place[0]], place[1], shapes)) for place in batch]

    todo = [(number, index) for number, samples in enumerate(data) for index in range(len(samples.labels))]
    places: list[Place] = []
    readings: list[list[Recognition]] = [[] for _ in engines]
    unreadable: list[UnreadableSample] = []
    progress(0, len(todo))
    for batch in map_ahead(load, chunks(todo, batch_size), default_jobs() if jobs is None else jobs):
        good = []
        for place, images in batch:
            if isinstance(images, InputError):
                unreadable.append(UnreadableSample(data[place[0]].name, images.message))
            else:
                places.append(place)
                good.append(images)
        if good:
            for engine, reading in zip(engines, readings, strict=True):
                reading += engine.recognize_prepared(np.stack([images[_shape(engine)] for images in good]))
        progress(len(places) + len(unreadable), len(todo))
    return places, readings, unreadable


def _shape(engine: Engine) -> Shape:
    return (engine.card.height, engine.card.width, engine.card.channels)


def _prepare(
    samples: EvalSamples, index: int, shapes: dict[Shape, Engine]
) -> dict[Shape, NDArray[np.uint8]] | InputError:
    """Decoded once, resized once for each input size among the models."""
    try:
        image = samples.image(index)
        return {shape: engine.prepare(image) for shape, engine in shapes.items()}
    except InputError as error:
        return error
