"""Evaluate one or several detectors on the same pages: counts and scores under each protocol, at fixed thresholds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ocrctl.core.eval.files import ordered
from ocrctl.core.eval.page_samples import EvalPages, open_pages
from ocrctl.core.eval.words import model_infos
from ocrctl.errors import InputError, UsageError
from ocrctl.inference.engine import Engine
from ocrctl.inference.pages import Page, same_sized, score_threshold
from ocrctl.inference.prefetch import chunks, default_jobs, map_ahead
from ocrctl.metrics.evaluation import ALL, DatasetInfo, ModelInfo, UnreadableSample
from ocrctl.metrics.instances import Instances, from_detections, from_words
from ocrctl.metrics.pages import PageScores, Search, check_protocol, find_threshold, score_pages
from ocrctl.models.outlines.detections import Detections

SampleIndex = tuple[int, int]  # (data set, page)


@dataclass(frozen=True)
class PagesOptions:
    """Options of an evaluation of detectors; `limit` is per SPEC; `search`: also find the best score threshold."""

    models: list[str]
    data: list[str]
    protocols: list[str] = field(default_factory=lambda: ["hmean"])
    search: bool = False
    limit: int | None = None
    seed: int = 0
    sets: list[str] = field(default_factory=list)
    device: str = "auto"
    batch_size: int | None = None  # None: 1
    jobs: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class PageResult:
    """One model on one data set, or on ALL, under one protocol; `search` is best first, empty unless requested."""

    model: str
    dataset: str
    scores: PageScores
    search: list[Search]
    thresholds: dict[str, float]  # of the model's card
    truth: Instances
    found: Instances
    sample_indices: list[SampleIndex]


@dataclass(frozen=True)
class PagesEvaluation:
    """All results; with several data sets the last results of a model are those on ALL."""

    models: list[ModelInfo]
    datasets: list[DatasetInfo]
    protocols: list[str]
    results: list[PageResult]
    unreadable: list[UnreadableSample]
    seconds: float
    images_per_second: float

    def overall(self, model: str, protocol: str) -> PageResult:
        """Return the result on all data together."""
        wanted = ALL if len(self.datasets) > 1 else self.datasets[0].name
        for item in self.results:
            if (item.model, item.dataset, item.scores.protocol) == (model, wanted, protocol):
                return item
        raise KeyError((model, protocol))


def are_detectors(options: PagesOptions) -> bool:
    """Return whether the first model is a detector. Raises as Engine.load, which caches it for the evaluation."""
    return Engine.load(options.models[0], options.device, options.threads).detects


def evaluate_pages(
    options: PagesOptions, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[PagesEvaluation, list[EvalPages]]:
    """Run every detector over every page; `progress` receives (pages done, all pages).

    Boxes are filtered by the thresholds of each model's card; with `search`, boxes of lower score are used for the
    search only. A page that cannot be read, or on which a model's maps are not finite, is listed and not scored. Raises
    UsageError (a recogniser, an unknown protocol), InputError or MissingRequirement.
    """
    for protocol in options.protocols:
        check_protocol(protocol)
    engines = [Engine.load(model, options.device, options.threads) for model in options.models]
    for engine in engines:
        if not engine.detects:
            names, score = " and ".join(options.protocols), "score" if len(options.protocols) > 1 else "scores"
            raise UsageError(
                f"{engine.path}: {engine.card.arch} is a recogniser; {names} {score} detectors.",
                hint="--protocol exact, --protocol str36",
            )
    infos = model_infos(engines, options.models)
    data = open_pages(options.data, options.limit, options.seed, options.sets)
    start = time.perf_counter()
    sample_indices, found, unreadable = read_pages(
        engines, data, options.batch_size or 1, options.jobs, progress, below_threshold=options.search
    )
    seconds = time.perf_counter() - start
    if not sample_indices:
        raise InputError(f"no page could be read; the first of {len(unreadable)}: {unreadable[0].error}")
    rows_of = {
        pages.name: [r for r, (i, _) in enumerate(sample_indices) if i == number] for number, pages in enumerate(data)
    }
    groups = [(name, rows) for name, rows in rows_of.items() if rows]
    groups += [(ALL, list(range(len(sample_indices))))] if len(data) > 1 else []
    results = [
        _result(
            info.name, dataset, protocol, engine, [(sample_indices[row], boxes[row]) for row in rows], data, options
        )
        for dataset, rows in groups
        for protocol in options.protocols
        for info, engine, boxes in zip(infos, engines, found, strict=True)
    ]
    datasets = [
        DatasetInfo(
            pages.name,
            pages.spec,
            sum(i == number for i, _ in sample_indices),
            sum(u.dataset == pages.name for u in unreadable),
        )
        for number, pages in enumerate(data)
    ]
    rate = len(sample_indices) * len(engines) / seconds
    return PagesEvaluation(infos, datasets, list(options.protocols), results, unreadable, seconds, rate), data


def _result(
    model: str, dataset: str, protocol: str, engine: Engine, rows: list[tuple[SampleIndex, Detections]],
    data: Sequence[EvalPages], options: PagesOptions,
) -> PageResult:  # fmt: skip
    sample_indices = [sample_index for sample_index, _ in rows]
    truth = from_words([data[number].words(index) for number, index in sample_indices])
    found = ordered(from_detections([boxes for _, boxes in rows]), protocol)
    names = [data[number].image_name(index) for number, index in sample_indices]
    threshold = score_threshold(engine.card) if options.search else None
    scores = score_pages(names, truth, found, protocol, threshold=threshold)
    search = find_threshold(truth, found, protocol) if options.search else []
    return PageResult(model, dataset, scores, search, dict(engine.card.thresholds), truth, found, sample_indices)


def read_pages(
    engines: Sequence[Engine],
    data: Sequence[EvalPages],
    batch_size: int,
    jobs: int | None,
    progress: Callable[[int, int], None],
    *,
    below_threshold: bool = False,
) -> tuple[list[SampleIndex], list[list[Detections]], list[UnreadableSample]]:
    """Run every engine over every page; each page is decoded once, by `jobs` threads ahead of the models.

    Returns the indices of the readable pages, the detections of each engine in that order, and the unreadable pages.
    `below_threshold`: also detections below the threshold of the score.
    """

    def load(batch: list[SampleIndex]) -> list[tuple[SampleIndex, list[Page] | InputError]]:
        return [(sample_index, _prepared(engines, data[sample_index[0]], sample_index[1])) for sample_index in batch]

    todo = [(number, index) for number, pages in enumerate(data) for index in range(len(pages))]
    sample_indices: list[SampleIndex] = []
    found: list[list[Detections]] = [[] for _ in engines]
    unreadable: list[UnreadableSample] = []
    progress(0, len(todo))
    for batch in map_ahead(load, chunks(todo, batch_size), default_jobs() if jobs is None else jobs):
        good = [pages for _, pages in batch if not isinstance(pages, InputError)]
        maps = [_maps(engine, [pages[number] for pages in good], batch_size) for number, engine in enumerate(engines)]
        row = 0
        for sample_index, pages in batch:
            try:
                if isinstance(pages, InputError):
                    raise pages
                row += 1
                boxes = [
                    engine.find(one[row - 1], page, below_threshold=below_threshold)
                    for engine, one, page in zip(engines, maps, pages, strict=True)
                ]
            except InputError as error:
                unreadable.append(UnreadableSample(data[sample_index[0]].name, error.message))
                continue
            sample_indices.append(sample_index)
            for one_found, kept in zip(boxes, found, strict=True):
                kept.append(one_found)
        progress(len(sample_indices) + len(unreadable), len(todo))
    return sample_indices, found, unreadable


def _maps(engine: Engine, pages: list[Page], size: int) -> list[dict[str, NDArray[np.float32]]]:
    return [one for group in same_sized(pages, size) for one in engine.maps(group)]


def _prepared(engines: Sequence[Engine], pages: EvalPages, index: int) -> list[Page] | InputError:
    """Decode a page once and resize it once per input size of the models."""
    try:
        image = pages.image(index)
        sized = {engine.card.model["side"]: engine.prepare_page(image) for engine in engines}
        return [sized[engine.card.model["side"]] for engine in engines]
    except InputError as error:
        return error
