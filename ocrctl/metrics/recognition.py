"""Word recognition metrics over plain lists: word accuracy, character error rate and 1-NED.

A *protocol* defines which text is compared:

`exact`   the strings unchanged, code point by code point (labels are NFC from the moment they are read).
`str36`   the field's 36-character case-insensitive protocol: lower-case, then keep only [0-9a-z], on both sides
          (Shi et al. 2017, https://arxiv.org/abs/1507.05717; clovaai/deep-text-recognition-benchmark test.py,
          https://arxiv.org/abs/1904.01906; baudm/parseq strhub/data/utils.py, https://arxiv.org/abs/2207.06966).
`str36-nfkd`   the same after NFKD, which makes an accented letter its base letter: for models that write accents, on
          labels without them (PARSeq folds its labels so, strhub/data/dataset.py).

A ground truth in which a protocol leaves nothing ("&!", a Hangul word under `str36`) is left out of that protocol's
numbers, as PARSeq does (strhub/data/dataset.py); clovaai would count it as a hit for an empty prediction. How many were
left out is part of every result.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import UsageError

MIN_PREDICTIONS = 5  # below which one text for all is no evidence of a broken model
CONSTANT_SHARE = 0.95  # of the predictions, from which on one text means all of them
_KEEP36 = frozenset("0123456789abcdefghijklmnopqrstuvwxyz")


def normalise_exact(text: str) -> str:
    """Return `text` unchanged: `exact` compares all characters."""
    return text


def normalise36(text: str) -> str:
    """Convert `text` to lower case, then keep only [0-9a-z]."""
    return "".join(char for char in text.lower() if char in _KEEP36)


def normalise36_nfkd(text: str) -> str:
    """Decompose accented letters, so that their base letter stays; then as `normalise36`."""
    return normalise36(unicodedata.normalize("NFKD", text))


PROTOCOLS: dict[str, Callable[[str], str]] = {
    "exact": normalise_exact,
    "str36": normalise36,
    "str36-nfkd": normalise36_nfkd,
}


def get_protocol(name: str) -> Callable[[str], str]:
    """Return the normalising function of protocol `name`. Raises UsageError, with the nearest name, for an unknown
    one."""
    if name not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise UsageError(f"there is no protocol '{name}' (known: {known}).{did_you_mean(name, PROTOCOLS)}")
    return PROTOCOLS[name]


def edit_distances(truths: Sequence[str], predictions: Sequence[str]) -> NDArray[np.int64]:
    """Compute the Levenshtein distance of each pair, in code points: int64 (n,)."""
    if len(truths) != len(predictions):
        raise ValueError(f"{len(truths)} ground truths but {len(predictions)} predictions")
    if not truths:
        return np.zeros(0, np.int64)
    return process.cpdist(truths, predictions, scorer=Levenshtein.distance, dtype=np.int64)


@dataclass(frozen=True)
class SampleScores:
    """Per-sample scores of one model under one protocol; arrays have one entry per kept sample, in input order."""

    protocol: str
    kept: NDArray[np.int64]  # index into the inputs of each kept sample
    truths: list[str]  # normalised
    predictions: list[str]  # normalised
    distance: NDArray[np.int64]  # edits between the two
    length: NDArray[np.int64]  # code points of the ground truth, at least 1
    similarity: NDArray[np.float64]  # 1 - NED of the sample, 0..1
    left_out: int  # ground truths in which the protocol leaves nothing

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Return where prediction and ground truth are equal."""
        return self.distance == 0

    @property
    def empty(self) -> NDArray[np.bool_]:
        """Return where the prediction is empty."""
        return np.array([not text for text in self.predictions], dtype=np.bool_)

    @property
    def accuracy(self) -> float:
        """Return the share of correct samples; NaN without samples."""
        return _mean(self.correct)

    @property
    def cer(self) -> float:
        """Return all edits divided by all ground-truth characters (may exceed 1); NaN without samples."""
        return float(self.distance.sum() / self.length.sum()) if self.length.size else float("nan")

    @property
    def one_minus_ned(self) -> float:
        """Return the mean similarity; NaN without samples."""
        return _mean(self.similarity)

    @property
    def empty_rate(self) -> float:
        """Return the share of empty predictions; NaN without samples."""
        return _mean(self.empty)


def _mean(values: NDArray[np.bool_] | NDArray[np.float64]) -> float:
    return float(np.mean(values)) if values.size else float("nan")


def similarities(distance: NDArray[np.int64], truths: Sequence[str], predictions: Sequence[str]) -> NDArray[np.float64]:
    """Compute 1 - edits / max(len truth, len prediction) of each pair, 0 where either is empty: float64 (n,).

    ICDAR 2019's normalised edit distance, computed as clovaai/deep-text-recognition-benchmark test.py does.
    """
    truth_length = np.fromiter(map(len, truths), np.int64, len(truths))
    prediction_length = np.fromiter(map(len, predictions), np.int64, len(predictions))
    either_empty = np.minimum(truth_length, prediction_length) == 0
    return np.where(either_empty, 0.0, 1.0 - distance / np.maximum(1, np.maximum(truth_length, prediction_length)))


def score(truths: Sequence[str], predictions: Sequence[str], protocol: str = "exact") -> SampleScores:
    """Score `predictions` against `truths` under `protocol`.

    Raises ValueError when the lists differ in length, UsageError for an unknown protocol.
    """
    if len(truths) != len(predictions):
        raise ValueError(f"{len(truths)} ground truths but {len(predictions)} predictions")
    normalise = get_protocol(protocol)
    normal_truths = [normalise(text) for text in truths]
    kept = [index for index, text in enumerate(normal_truths) if text]
    kept_truths = [normal_truths[index] for index in kept]
    kept_predictions = [normalise(predictions[index]) for index in kept]
    distance = edit_distances(kept_truths, kept_predictions)
    return SampleScores(
        protocol=protocol,
        kept=np.array(kept, dtype=np.int64),
        truths=kept_truths,
        predictions=kept_predictions,
        distance=distance,
        length=np.fromiter(map(len, kept_truths), np.int64, len(kept)),
        similarity=similarities(distance, kept_truths, kept_predictions),
        left_out=len(truths) - len(kept),
    )


def exact(truths: Sequence[str], predictions: Sequence[str]) -> float:
    """Compute word accuracy under `exact`, 0..1; NaN without samples."""
    return score(truths, predictions, "exact").accuracy


def str36(truths: Sequence[str], predictions: Sequence[str]) -> float:
    """Compute word accuracy under `str36`, 0..1; NaN when no ground truth holds a character of [0-9a-z]."""
    return score(truths, predictions, "str36").accuracy


def cer(truths: Sequence[str], predictions: Sequence[str], protocol: str = "exact") -> float:
    """Compute the character error rate: all edits divided by all ground-truth characters; may exceed 1."""
    return score(truths, predictions, protocol).cer


def ned(truths: Sequence[str], predictions: Sequence[str], protocol: str = "exact") -> float:
    """Compute 1-NED, 0..1, higher is better: the mean over words of `similarities`."""
    return score(truths, predictions, protocol).one_minus_ned


def describe_constant_predictions(predictions: Sequence[str], truths: Sequence[str]) -> str | None:
    """Describe predictions that are (nearly) all empty or one text, unless that is the truth of most samples.

    Returns `"647 of 647 predictions are empty"` or `"... are 'a'"`, None for other predictions and for fewer than
    MIN_PREDICTIONS. Raises ValueError when the two differ in length.
    """
    if len(predictions) != len(truths):
        raise ValueError(f"{len(predictions)} predictions but {len(truths)} ground truths")
    if len(predictions) < MIN_PREDICTIONS:
        return None
    text, count = Counter(predictions).most_common(1)[0]
    if count < CONSTANT_SHARE * len(predictions) or 2 * sum(truth == text for truth in truths) >= len(truths):
        return None
    return f"{count:,} of {len(predictions):,} predictions are {repr(text) if text else 'empty'}"
