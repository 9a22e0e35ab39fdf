"""Evaluate recognisers on the same samples: scores with intervals, differences, confusions and the worst samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from ocrctl.core.eval.read import SampleIndex, read_samples
from ocrctl.core.eval.word_samples import EvalSamples, open_samples
from ocrctl.errors import InputError, UsageError
from ocrctl.inference.decoding import Decoding
from ocrctl.inference.engine import Engine, Recognition
from ocrctl.metrics.characters import top_confusions, unknown_characters
from ocrctl.metrics.evaluation import (
    ALL,
    DatasetInfo,
    Difference,
    Evaluation,
    ModelInfo,
    Result,
    WorstSample,
)
from ocrctl.metrics.recognition import SampleScores, get_protocol, score
from ocrctl.metrics.summary import by_length, differences, summarise, worst


@dataclass(frozen=True)
class EvalOptions:
    """Options of an evaluation of recognisers; `limit` is per SPEC, `worst` per model, `bootstrap` the number of
    resamples; `decoding` as in Engine.load."""

    models: list[str]
    data: list[str]
    protocols: list[str] = field(default_factory=lambda: ["exact", "str36"])
    limit: int | None = None
    bootstrap: int = 1000
    seed: int = 0
    worst: int = 20
    device: str = "auto"
    batch_size: int = 64
    jobs: int | None = None
    threads: int | None = None
    sets: list[str] = field(default_factory=list)
    decoding: str | Decoding | None = None


def evaluate(
    options: EvalOptions, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Evaluation, list[EvalSamples]]:
    """Run every model over every sample; `progress` receives (images done, all images).

    Returns the evaluation and the opened samples (for images in a report). Unreadable images are listed and not scored;
    ground-truth characters outside the charset of a model are counted and scored. Raises UsageError, InputError (no
    readable sample, missing model) or MissingRequirement.
    """
    for protocol in options.protocols:
        get_protocol(protocol)
    engines = [Engine.load(model, options.device, options.threads, options.decoding) for model in options.models]
    infos = model_infos(engines, options.models)
    data = open_samples(options.data, [engine.card for engine in engines], options.limit, options.seed, options.sets)

    start = time.perf_counter()
    sample_indices, readings, unreadable = read_samples(engines, data, options.batch_size, options.jobs, progress)
    seconds = time.perf_counter() - start
    if not sample_indices:
        raise InputError(f"no sample could be read; the first of {len(unreadable)}: {unreadable[0].error}")

    datasets = [
        DatasetInfo(
            samples.name,
            samples.spec,
            sum(sample_index[0] == number for sample_index in sample_indices),
            sum(item.dataset == samples.name for item in unreadable),
        )
        for number, samples in enumerate(data)
    ]
    truths = [data[number].labels[index] for number, index in sample_indices]
    texts = [[reading.text for reading in model] for model in readings]
    results: list[Result] = []
    pairs: list[Difference] = []
    for dataset, rows in _groups(sample_indices, data):
        group_truths = [truths[row] for row in rows]
        for protocol in options.protocols:
            scores = [score(group_truths, [model[row] for row in rows], protocol) for model in texts]
            results += [_result(info.name, dataset, item, options) for info, item in zip(infos, scores, strict=True)]
            for (base, before), (new, after) in combinations(zip(infos, scores, strict=True), 2):
                found = differences(before, after, options.bootstrap, options.seed)
                pairs.append(Difference(base.name, new.name, dataset, protocol, found))
    evaluation = Evaluation(
        models=infos,
        datasets=datasets,
        protocols=list(options.protocols),
        results=results,
        differences=pairs,
        unknown=[
            missing
            for protocol in options.protocols
            for info, engine in zip(infos, engines, strict=True)
            if (missing := unknown_characters(info.name, engine.card.charset, truths, protocol))
        ],
        worst=[
            row
            for info, model in zip(infos, readings, strict=True)
            for row in _worst(info.name, model, truths, sample_indices, data, options)
        ],
        unreadable=unreadable,
        resamples=options.bootstrap,
        seed=options.seed,
        seconds=seconds,
        images_per_second=len(sample_indices) * len(engines) / seconds,
    )
    return evaluation, data


def model_infos(engines: Sequence[Engine], given: Sequence[str]) -> list[ModelInfo]:
    """Describe each model, under the name by which it was given. Raises UsageError when one is given twice."""
    if len({engine.path.resolve() for engine in engines}) != len(engines):
        raise UsageError(f"the same model is given twice: {', '.join(given)}.")
    return [
        ModelInfo(
            name,
            str(engine.path),
            engine.card.arch,
            engine.backend,
            engine.device,
            len(engine.card.charset),
            engine.note,
        )
        for name, engine in zip(given, engines, strict=True)
    ]


def _groups(sample_indices: Sequence[SampleIndex], data: Sequence[EvalSamples]) -> list[tuple[str, list[int]]]:
    """Return the rows of each data set that has any, and of all together if there are several."""
    groups = [
        (samples.name, [row for row, sample_index in enumerate(sample_indices) if sample_index[0] == number])
        for number, samples in enumerate(data)
    ]
    if len(data) > 1:
        groups.append((ALL, list(range(len(sample_indices)))))
    return groups


def _result(model: str, dataset: str, scores: SampleScores, options: EvalOptions) -> Result:
    return Result(
        model=model,
        dataset=dataset,
        summary=summarise(scores, options.bootstrap, options.seed),
        by_length=by_length(scores),
        confusions=top_confusions(zip(scores.truths, scores.predictions, strict=True)),
    )


def _worst(
    model: str,
    reading: Sequence[Recognition],
    truths: Sequence[str],
    sample_indices: Sequence[SampleIndex],
    data: Sequence[EvalSamples],
    options: EvalOptions,
) -> list[WorstSample]:
    """Return the worst samples of one model under the first protocol, with the original predictions."""
    scores = score(truths, [item.text for item in reading], options.protocols[0])
    row_of = {int(row): position for position, row in enumerate(scores.kept)}
    rows = []
    for row in worst(scores, options.worst):
        number, index = sample_indices[row]
        position = row_of[row]
        rows.append(
            WorstSample(
                model=model,
                dataset=data[number].name,
                sample=index,
                where=data[number].where(index),
                truth=truths[row],
                prediction=reading[row].text,
                confidence=reading[row].confidence,
                edits=int(scores.distance[position]),
                similarity=float(scores.similarity[position]),
            )
        )
    return rows
