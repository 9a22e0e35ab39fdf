"""Detect a model whose predictions are all empty or all the same text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

FEWEST = 5  # predictions below which one text for all is no evidence
SHARE = 0.95  # of the predictions from which on one text is taken for all of them


def reads_nothing(predictions: Sequence[str], truths: Sequence[str]) -> str | None:
    """`"647 of 647 predictions are empty"`, or `"... are 'a'"`, when (nearly) all predictions are one text that is not
    the truth of most samples; None for a model that tells the samples apart, and for fewer than FEWEST.

    Raises ValueError when the two differ in length.
    """
    if len(predictions) != len(truths):
        raise ValueError(f"{len(predictions)} predictions but {len(truths)} ground truths")
    if len(predictions) < FEWEST:
        return None
    text, count = Counter(predictions).most_common(1)[0]
    if count < SHARE * len(predictions) or 2 * sum(truth == text for truth in truths) >= len(truths):
        return None
    return f"{count:,} of {len(predictions):,} predictions are {repr(text) if text else 'empty'}"
