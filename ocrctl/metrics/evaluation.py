"""Result of an evaluation: plain dataclasses for the terminal, the JSON output and the HTML report."""

from __future__ import annotations

from dataclasses import dataclass

from ocrctl.metrics.bootstrap import Interval
from ocrctl.metrics.characters import Confusion, UnknownCharacters
from ocrctl.metrics.summary import LengthRow, Summary

ALL = "all"  # name of all datasets together, when there are several


@dataclass(frozen=True)
class ModelInfo:
    """One evaluated model; `name` is unique within the evaluation: the model as it was given."""

    name: str
    path: str
    arch: str
    backend: str
    device: str
    charset_size: int
    note: str


@dataclass(frozen=True)
class DatasetInfo:
    """One SPEC: how many samples were read and how many could not be."""

    name: str
    spec: str
    samples: int
    unreadable: int


@dataclass(frozen=True)
class Result:
    """One model on one data set under one protocol."""

    model: str
    dataset: str
    summary: Summary
    by_length: list[LengthRow]
    confusions: list[Confusion]


@dataclass(frozen=True)
class Difference:
    """`after` minus `before` on the same samples, metric by metric, with paired intervals; two models in the order in
    which they were given."""

    before: str
    after: str
    dataset: str
    protocol: str
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class WorstSample:
    """A wrong sample, furthest from its ground truth first; `sample` is its number in its data set, from 0."""

    model: str
    dataset: str
    sample: int
    where: str
    truth: str
    prediction: str
    confidence: float
    edits: int
    similarity: float


@dataclass(frozen=True)
class UnreadableSample:
    """A sample whose image could not be decoded; excluded from all results."""

    dataset: str
    error: str


@dataclass(frozen=True)
class Evaluation:
    """Everything one `ocrctl eval` found. `worst` is ranked by `protocols[0]`."""

    models: list[ModelInfo]
    datasets: list[DatasetInfo]
    protocols: list[str]
    results: list[Result]
    differences: list[Difference]
    unknown: list[UnknownCharacters]
    worst: list[WorstSample]
    unreadable: list[UnreadableSample]
    resamples: int
    seed: int
    seconds: float
    images_per_second: float  # images times models, decoding included

    def overall(self, model: str, protocol: str) -> Result:
        """Return the result of `model` under `protocol` on all datasets together."""
        dataset = ALL if len(self.datasets) > 1 else self.datasets[0].name
        for result in self.results:
            if (result.model, result.dataset, result.summary.protocol) == (model, dataset, protocol):
                return result
        raise KeyError((model, dataset, protocol))
