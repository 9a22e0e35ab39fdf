"""Summarise per-sample scores: intervals, paired differences, rows by word length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ocrctl.metrics.bootstrap import Interval, percentile_interval, resample_sums, wilson_interval
from ocrctl.metrics.recognition import SampleScores

METRICS = ("accuracy", "cer", "one_minus_ned", "empty_rate")
LOWER_IS_BETTER = frozenset({"cer", "empty_rate"})
# Every length on its own up to 10 characters, where most scene words lie; the last bin is open.
LENGTH_BINS = (*((n, n) for n in range(1, 11)), (11, 12), (13, 16), (17, 25), (26, 10**9))


@dataclass(frozen=True)
class Summary:
    """Metrics of one model under one protocol on one set of samples, each with its interval."""

    protocol: str
    samples: int
    left_out: int
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class LengthRow:
    """Numbers of the samples whose ground truth is `shortest` to `longest` code points long, both included."""

    shortest: int
    longest: int
    samples: int
    accuracy: float
    cer: float

    @property
    def label(self) -> str:
        """Return `7`, `11-12` or `26+`."""
        if self.shortest == self.longest:
            return str(self.shortest)
        return f"{self.shortest}+" if self.longest >= 10**9 else f"{self.shortest}-{self.longest}"


def _columns(scores: SampleScores) -> np.ndarray:
    """Stack (n, 5): correct, edits, truth length, similarity, empty; their sums give every metric."""
    return np.stack([scores.correct, scores.distance, scores.length, scores.similarity, scores.empty], axis=1).astype(
        np.float64
    )


def _metrics_of(sums: np.ndarray, samples: int) -> dict[str, np.ndarray]:
    """Compute each metric (resamples,) from sums (resamples, 5) of `_columns`."""
    correct, edits, length, similarity, empty = sums.T
    return {
        "accuracy": correct / samples,
        "cer": edits / length,
        "one_minus_ned": similarity / samples,
        "empty_rate": empty / samples,
    }


def summarise(scores: SampleScores, resamples: int = 1000, seed: int = 0) -> Summary:
    """Compute the metrics of one model under one protocol; intervals at 95 %, NaN without samples or resamples.

    Proportions of words (accuracy, empty_rate) have Wilson's interval. CER and 1-NED have a bootstrap interval, NaN
    where every resample gives the same value, such as without an error: the bootstrap then knows nothing of the width.
    """
    samples = len(scores.truths)
    values = {name: float(getattr(scores, name)) for name in METRICS}
    if samples == 0 or resamples == 0:
        intervals = {name: Interval(value, float("nan"), float("nan")) for name, value in values.items()}
    else:
        resampled = _metrics_of(resample_sums(_columns(scores), resamples, seed), samples)
        intervals = {name: _bootstrapped(values[name], resampled[name]) for name in ("cer", "one_minus_ned")}
        intervals["accuracy"] = wilson_interval(int(scores.correct.sum()), samples)
        intervals["empty_rate"] = wilson_interval(int(scores.empty.sum()), samples)
        intervals = {name: intervals[name] for name in METRICS}
    return Summary(scores.protocol, samples, scores.left_out, intervals)


def _bootstrapped(value: float, resampled: np.ndarray) -> Interval:
    """Return the percentile interval, NaN where the resamples do not vary."""
    if np.ptp(resampled) == 0:
        return Interval(value, float("nan"), float("nan"))
    return percentile_interval(value, resampled)


def differences(before: SampleScores, after: SampleScores, resamples: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """Compute each metric of `after` minus that of `before`, paired: with the same draws of the same samples.

    Raises ValueError when the two were not scored on the same ground truths.
    """
    if before.truths != after.truths or not np.array_equal(before.kept, after.kept):
        raise ValueError("paired differences need two models scored on the same samples under the same protocol")
    samples = len(before.truths)
    values = {name: float(getattr(after, name) - getattr(before, name)) for name in METRICS}
    if samples == 0 or resamples == 0:
        return {name: Interval(value, float("nan"), float("nan")) for name, value in values.items()}
    sums = resample_sums(np.concatenate([_columns(before), _columns(after)], axis=1), resamples, seed)
    old, new = _metrics_of(sums[:, :5], samples), _metrics_of(sums[:, 5:], samples)
    return {name: percentile_interval(values[name], new[name] - old[name]) for name in METRICS}


def by_length(scores: SampleScores) -> list[LengthRow]:
    """Compute a row for each length bin that has samples, shortest first."""
    rows = []
    for shortest, longest in LENGTH_BINS:
        inside = (scores.length >= shortest) & (scores.length <= longest)
        count = int(inside.sum())
        if count:
            accuracy = float(scores.correct[inside].mean())
            error = float(scores.distance[inside].sum() / scores.length[inside].sum())
            rows.append(LengthRow(shortest, longest, count, accuracy, error))
    return rows


def worst(scores: SampleScores, limit: int) -> list[int]:
    """Return the input indices of the `limit` wrong samples furthest from their ground truth.

    Lowest similarity first, then most edits, then input order, so the list is the same on every run.
    """
    wrong = np.flatnonzero(~scores.correct)
    order = np.lexsort((scores.kept[wrong], -scores.distance[wrong], scores.similarity[wrong]))
    return [int(index) for index in scores.kept[wrong[order[:limit]]]]
