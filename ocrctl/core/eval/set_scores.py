"""Score several models on one dataset sample by sample, so that two of them can be compared on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrctl.core.eval.files import ordered
from ocrctl.core.eval.page_samples import EvalPages, open_pages
from ocrctl.core.eval.pages import read_pages
from ocrctl.core.eval.read import read_samples
from ocrctl.core.eval.word_samples import EvalSamples, open_samples
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.errors import InputError, UsageError
from ocrctl.inference.engine import Engine
from ocrctl.metrics.bootstrap import Interval, percentile_interval, resample_sums
from ocrctl.metrics.evaluation import UnreadableSample
from ocrctl.metrics.hmean import match
from ocrctl.metrics.instances import from_detections, from_words
from ocrctl.metrics.recognition import get_protocol, score

WORD_PROTOCOL, PAGE_PROTOCOL = "exact", "hmean"
BATCH = 32  # word images per forward pass


@dataclass(frozen=True)
class SetScores:
    """Scores of one model on one dataset.

    metric: "exact" or "str36" (share of words read correctly) or "hmean" (of boxes). counts: float64 (n, k), a row per
    sample: (correct,) for words; (matched, truths, detections) for pages. left_out: unreadable samples.
    """

    dataset: str
    metric: str
    counts: NDArray[np.float64]
    left_out: int = 0

    @property
    def samples(self) -> int:
        """Number of scored samples."""
        return len(self.counts)

    @property
    def value(self) -> float:
        """Return the metric over all samples, 0..1; NaN without samples."""
        return float(_metric(self.counts.sum(0)[None], self.samples)[0]) if self.samples else float("nan")

    def change_from(self, before: SetScores, resamples: int = 1000, seed: int = 0) -> Interval:
        """Return this value minus that of `before` with its 95 % interval, from the same resamples of the same samples.
        Raises ValueError when the two were not scored on the same samples."""
        if (self.dataset, self.metric, self.counts.shape) != (before.dataset, before.metric, before.counts.shape):
            raise ValueError(f"{self.dataset} and {before.dataset}: not scored on the same samples")
        sums = resample_sums(np.concatenate([before.counts, self.counts], 1), resamples, seed)
        width = self.counts.shape[1]
        changes = _metric(sums[:, width:], self.samples) - _metric(sums[:, :width], self.samples)
        return percentile_interval(self.value - before.value, changes)


def _metric(sums: NDArray[np.float64], samples: int) -> NDArray[np.float64]:
    """Return the metric of sums of counts (r, k) over `samples` samples: (r,)."""
    if sums.shape[1] == 1:
        return np.asarray(sums[:, 0] / samples)
    matched, both = sums[:, 0], sums[:, 1] + sums[:, 2]
    return np.asarray(2 * matched / np.maximum(both, 1))


def score_set(
    engines: Sequence[Engine],
    spec: str,
    *,
    protocol: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    sets: Sequence[str] = (),
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[SetScores]:
    """Run every engine over dataset `spec` and return the scores of each.

    protocol: of words, default exact. limit: maximum samples of a finite dataset, a random subset by `seed`; of a
    synthetic stream, its length. sets: `synth.*=value` settings. Raises UsageError for engines of different tasks or an
    unknown protocol, InputError when the dataset cannot be opened or none of its samples can be read.
    """
    first = limit if spec.startswith("synth:") else None
    if engines[0].detects:
        if protocol not in (None, PAGE_PROTOCOL):
            raise UsageError(f"--protocol {protocol}: detectors are scored by {PAGE_PROTOCOL}.")
        pages = open_pages([spec], first, seed, sets)[0]
        return score_pages(engines, ChosenPages(pages, subset(len(pages), limit, seed)), jobs=jobs, progress=progress)
    get_protocol(protocol or WORD_PROTOCOL)
    words = open_samples([spec], [engine.card for engine in engines], first, seed, sets)[0]
    chosen = ChosenWords(words, subset(len(words.labels), limit, seed))
    return score_words(engines, chosen, protocol=protocol or WORD_PROTOCOL, jobs=jobs, progress=progress)


def score_words(
    engines: Sequence[Engine],
    samples: EvalSamples,
    *,
    protocol: str = WORD_PROTOCOL,
    agreement: bool = False,
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[SetScores]:
    """Score every engine on `samples`. agreement: the readings of the first engine are the truth, for images without
    labels. Raises InputError when no sample can be read."""
    indices, readings, unreadable = read_samples(engines, [samples], BATCH, jobs, progress)
    if not indices:
        raise InputError(_none(samples.spec, unreadable))
    texts = [[item.text for item in reading] for reading in readings]
    truths = texts[0] if agreement else [samples.labels[index] for _, index in indices]
    return [
        SetScores(samples.spec, protocol, score(truths, read, protocol).correct[:, None].astype(float), len(unreadable))
        for read in texts
    ]


def score_pages(
    engines: Sequence[Engine],
    pages: EvalPages,
    *,
    agreement: bool = False,
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[SetScores]:
    """Score every engine on `pages` by hmean; arguments and errors as `score_words`."""
    indices, boxes, unreadable = read_pages(engines, [pages], 1, jobs, progress)
    if not indices:
        raise InputError(_none(pages.spec, unreadable))
    found = [ordered(from_detections(detections), PAGE_PROTOCOL) for detections in boxes]
    truth = found[0] if agreement else from_words([pages.words(index) for _, index in indices])
    scores = []
    for instances in found:
        rows = match(truth, instances).by_image()
        counts = np.array([(row.matched, row.truths, row.detections) for row in rows], np.float64)
        scores.append(SetScores(pages.spec, PAGE_PROTOCOL, counts, len(unreadable)))
    return scores


def subset(count: int, limit: int | None, seed: int) -> list[int]:
    """Return at most `limit` of `count` indices, random by `seed`, sorted."""
    if limit is None or count <= limit:
        return list(range(count))
    chosen: list[int] = np.sort(np.random.default_rng((seed, 6)).permutation(count)[:limit]).tolist()
    return chosen


def _none(spec: str, unreadable: Sequence[UnreadableSample]) -> str:
    if not unreadable:
        return f"{spec}: holds no sample."
    return f"{spec}: no sample could be read; the first of {len(unreadable)}: {unreadable[0].error}"


class ChosenWords:
    """Some of the samples of an evaluation dataset."""

    def __init__(self, samples: EvalSamples, chosen: Sequence[int]) -> None:
        self.name, self.spec = samples.name, samples.spec
        self._samples, self._chosen = samples, chosen
        self.labels: Sequence[str] = [samples.labels[index] for index in chosen]

    def image(self, index: int) -> NDArray[np.uint8]:
        """See EvalSamples."""
        return self._samples.image(self._chosen[index])

    def where(self, index: int) -> str:
        """See EvalSamples."""
        return self._samples.where(self._chosen[index])


class ChosenPages(EvalPages):
    """Some of the pages of an evaluation dataset."""

    def __init__(self, pages: EvalPages, chosen: Sequence[int]) -> None:
        self.name, self.spec = pages.name, pages.spec
        self._all, self._chosen = pages, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def image(self, index: int) -> NDArray[np.uint8]:
        """See EvalPages."""
        return self._all.image(self._chosen[index])

    def words(self, index: int) -> PageWords:
        """See EvalPages."""
        return self._all.words(self._chosen[index])

    def image_name(self, index: int) -> str:
        """See EvalPages."""
        return self._all.image_name(self._chosen[index])
