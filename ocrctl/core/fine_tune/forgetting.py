"""What a fine-tuning run has gained on the new data, and what it has lost on a general set.

The general set is that of `--general`; without it the held-out part of `--keep`, and without that rendered text. Images
without labels are scored by agreement with what the base model reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.settings import Settings
from ocrctl.core.eval.page_samples import EvalPages
from ocrctl.core.eval.set_scores import (
    ChosenPages,
    ChosenWords,
    SetScores,
    score_pages,
    score_set,
    score_words,
    subset,
)
from ocrctl.core.streams import pages_config
from ocrctl.core.train.detection import DetectionTask
from ocrctl.core.train.keep import (
    BASE_FILE,
    NONE,
    SEED_OFFSET,
    held_out_part,
    keep_spec,
    open_pages,
    open_words,
    recorded_base,
    synth_words,
)
from ocrctl.core.train.recognition import RecognitionTask
from ocrctl.core.train.task import TrainingTask, TrainResult
from ocrctl.data.datasets.detection import PageSource
from ocrctl.data.datasets.kept import IMAGES
from ocrctl.data.datasets.recognition import FiniteWords
from ocrctl.data.lmdb.word_source import WordSource
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.data.synth.pages.stream import SynthPages
from ocrctl.files.atomic import write_text
from ocrctl.files.durable import cannot_write
from ocrctl.inference.decoding import GREEDY
from ocrctl.inference.engine import Engine
from ocrctl.metrics.bootstrap import Interval
from ocrctl.models.class_rows import shared_rows
from ocrctl.text.normalize import normalize_label

WORDS, PAGES = 1000, 100  # maximum samples of each set
RENDERED_WORDS, RENDERED_PAGES = 500, 30
REPORT = "forgetting.json"  # in the run folder


@dataclass(frozen=True)
class Change:
    """One set before and after a fine-tuning; values in 0..1, the change with its paired 95 % interval.

    metric: exact or hmean; "agreement" with the base for images without labels.
    """

    dataset: str
    metric: str
    samples: int
    before: float
    after: float
    change: Interval


@dataclass(frozen=True)
class Forgetting:
    """The report at the end of a --from run. `forgotten`: the general set lost more than `limit` points. val_spec,
    general_spec: SPECs that `model merge` can measure on, None where the validation data was held out."""

    base: str
    model: Path
    step: int  # of the run, at which `model` was saved
    val_spec: str | None
    general_spec: str
    new: Change
    general: Change | None
    limit: float
    forgotten: bool


def forgetting(
    settings: Settings,
    task: TrainingTask,
    result: TrainResult,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Forgetting | None:
    """Score the --from model and the run's model on the validation data and on the general set.

    None for a run without --from, with --general none, and for a run of version 0.1, which did not record its base.
    Raises InputError when the --from model or the data cannot be read any more.
    """
    if not settings.model.init or settings.data.general == NONE or not (result.run / BASE_FILE).exists():
        return None
    best = result.run / "best.ckpt"
    model = best if best.exists() else result.run / "last.ckpt"
    device, threads = settings.train.device, settings.train.threads
    # Greedy: an n-gram model of the base, which the new model does not inherit, is no part of the comparison.
    paths = (recorded_base(result.run, settings.model.init), model)
    engines = [Engine.load(path, device, threads, GREEDY) for path in paths]
    new = _score_validation(engines, task, settings, progress)
    general = _score_general(engines, task, settings, progress)
    limit = settings.train.max_forgetting
    lost = general is not None and -100 * general.change.value > limit + 1e-9
    kept = keep_spec(settings, task.spec.task)
    val_spec = settings.data.val or (None if task.held_out else task.synth_spec)
    general_spec = settings.data.general or (kept if kept and not kept.startswith(IMAGES) else task.synth_spec)
    step = result.best_step if model == best else result.steps
    found = Forgetting(settings.model.init, model, step, val_spec, general_spec, new, general, limit, lost)
    try:
        write_text(result.run / REPORT, json.dumps(_plain(found), ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise cannot_write(result.run, error) from error
    return found


def _plain(found: Forgetting) -> dict[str, Any]:
    return {**asdict(found), "model": str(found.model)}


def _change(scores: list[SetScores], metric: str | None = None) -> Change:
    before, after = scores
    return Change(
        after.dataset, metric or after.metric, after.samples, before.value, after.value, after.change_from(before)
    )


def _score_validation(
    engines: list[Engine], task: TrainingTask, settings: Settings, progress: Callable[[int, int], None]
) -> Change:
    name = settings.data.val or ("held out" if task.held_out else task.synth_spec)
    if isinstance(task, RecognitionTask):
        words = TaskWords(name, task)
        chosen = ChosenWords(words, subset(len(words.labels), WORDS, settings.seed))
        return _change(score_words(engines, chosen, progress=progress))
    assert isinstance(task, DetectionTask)
    pages = TaskPages(name, task.val, len(task.val))
    return _change(
        score_pages(engines, ChosenPages(pages, subset(len(pages), PAGES, settings.seed)), progress=progress)
    )


def _score_general(
    engines: list[Engine], task: TrainingTask, settings: Settings, progress: Callable[[int, int], None]
) -> Change | None:
    detects, seed = engines[0].detects, settings.seed
    if given := settings.data.general:
        return _change(score_set(engines, given, limit=PAGES if detects else WORDS, seed=seed, progress=progress))
    kept = keep_spec(settings, task.spec.task)
    if kept is not None and not kept.startswith("synth:"):
        name = f"{kept} (held out)"
        if detects:
            source = PageSource(open_pages(kept))
            pages = TaskPages(name, source, len(source))
            held = held_out_part(len(source), settings)
            agreement = not any(len(source.words(index)) for index in held)
            chosen = ChosenPages(pages, [held[index] for index in subset(len(held), PAGES, seed)])
            scores = score_pages(engines, chosen, agreement=agreement, progress=progress)
        else:
            words = SourceWords(name, open_words(kept))
            held = held_out_part(len(words.labels), settings)
            agreement = not any(words.labels[index] for index in held)
            picked = ChosenWords(words, [held[index] for index in subset(len(held), WORDS, seed)])
            scores = score_words(engines, picked, agreement=agreement, progress=progress)
        return _change(scores, "agreement" if agreement else None)
    if detects:
        config = pages_config(settings, "val").with_(seed=seed + 2 * SEED_OFFSET)
        stream = TakenPages("synth:pages", SynthPages(config), RENDERED_PAGES)
        return _change(score_pages(engines, stream, progress=progress))
    rendered = _rendered(engines, task, settings)
    return None if rendered is None else _change(score_words(engines, rendered, progress=progress))


def _rendered(engines: list[Engine], task: TrainingTask, settings: Settings) -> RenderedWords | None:
    """Return rendered words in the characters of both models; None when they share none."""
    base, model = (engine.card for engine in engines)
    shared = "".join(model.charset[own] for own, _ in shared_rows(model.charset, base.charset))
    if not shared:
        return None
    stream = synth_words(settings, task.spec, replace(model, charset=shared), "val", settings.seed + 2 * SEED_OFFSET)
    return RenderedWords("synth:words", stream, RENDERED_WORDS)


class TaskWords:
    """The validation samples of a run, as they are before resizing."""

    def __init__(self, name: str, task: RecognitionTask) -> None:
        self.name = self.spec = name
        self._task = task
        self.labels: Sequence[str] = [normalize_label(self._label(*pick)) for pick in task.val_picks]

    def _label(self, number: int, index: int) -> str:
        part = self._task.val[number]
        return part.source.labels[int(part.indices[index])] if isinstance(part, FiniteWords) else part.label(index)

    def image(self, index: int) -> NDArray[np.uint8]:
        """See EvalSamples."""
        number, position = self._task.val_picks[index]
        part = self._task.val[number]
        return (part.sample(position, None) if isinstance(part, FiniteWords) else part.sample(position))[0]

    def where(self, index: int) -> str:
        """See EvalSamples."""
        number, position = self._task.val_picks[index]
        part = self._task.val[number]
        return part.source.where(int(part.indices[position])) if isinstance(part, FiniteWords) else f"synth {position}"


class SourceWords:
    """All samples of an opened source."""

    def __init__(self, name: str, source: WordSource) -> None:
        self.name = self.spec = name
        self._source = source
        self.labels: Sequence[str] = [normalize_label(label) for label in source.labels]

    def image(self, index: int) -> NDArray[np.uint8]:
        """See EvalSamples."""
        from ocrctl.data.images.decode import decode

        return decode(self._source.image_bytes(index), self.where(index))

    def where(self, index: int) -> str:
        """See EvalSamples."""
        return self._source.where(index)


class RenderedWords:
    """The first `count` words of a stream."""

    def __init__(self, name: str, stream: Any, count: int) -> None:
        self.name = self.spec = name
        self._stream = stream
        self.labels: Sequence[str] = [normalize_label(stream.label(index)) for index in range(count)]

    def image(self, index: int) -> NDArray[np.uint8]:
        """See EvalSamples."""
        image: NDArray[np.uint8] = self._stream.sample(index)[0]
        return image

    def where(self, index: int) -> str:
        """See EvalSamples."""
        return f"{self.spec} {index}"


class TaskPages(EvalPages):
    """`count` pages of a source with `page(index)`."""

    def __init__(self, name: str, source: Any, count: int) -> None:
        self.name = self.spec = name
        self._source, self._count = source, count
        self._seen: dict[int, PageWords] = {}

    def image(self, index: int) -> NDArray[np.uint8]:
        """See EvalPages."""
        image, self._seen[index] = self._page(index)
        return image

    def _page(self, index: int) -> tuple[NDArray[np.uint8], PageWords]:
        found: tuple[NDArray[np.uint8], PageWords] = self._source.page(index)
        return found

    def words(self, index: int) -> PageWords:
        """See EvalPages."""
        if index not in self._seen:
            self.image(index)
        return self._seen[index]

    def image_name(self, index: int) -> str:
        """See EvalPages."""
        return f"{self.spec} {index}"


class TakenPages(TaskPages):
    """The first pages of a synthetic stream."""

    def _page(self, index: int) -> tuple[NDArray[np.uint8], PageWords]:
        found: tuple[NDArray[np.uint8], PageWords] = self._source.sample(index)
        return found
