"""Word metrics against hand-worked numbers and against independent computations."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrctl.errors import UsageError
from ocrctl.metrics.recognition import cer, exact, ned, normalise36, score, str36

WORDS = st.text(alphabet="aAbB1é 가-!", max_size=7)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=12)


def plain_levenshtein(a: str, b: str) -> int:
    """The textbook table, independent of rapidfuzz."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (left != right))
    return row[-1]


def clovaai_numbers(truths: list[str], predictions: list[str]) -> tuple[float, float]:
    """Accuracy and norm_ED as clovaai's validation() defines them, with its own regular expression."""
    correct, total = 0, 0.0
    for gt, pred in zip(truths, predictions, strict=True):
        gt, pred = (re.sub("[^0123456789abcdefghijklmnopqrstuvwxyz]", "", text.lower()) for text in (gt, pred))
        correct += pred == gt
        if gt and pred:
            total += 1 - plain_levenshtein(pred, gt) / max(len(gt), len(pred))
    return correct / len(truths), total / len(truths)


def test_hand_worked_numbers() -> None:
    truths, predictions = ["JOINT", "a-b", "&!", "cafés"], ["joint", "ab", "&!", "cafs"]
    assert exact(truths, predictions) == 1 / 4
    assert str36(truths, predictions) == 1.0  # "&!" is left out, the accent is dropped on both sides
    assert score(truths, predictions, "str36").left_out == 1
    assert cer(truths, predictions) == (5 + 1 + 0 + 1) / (5 + 3 + 2 + 5)
    assert ned(truths, predictions) == pytest.approx((0 + 2 / 3 + 1 + 4 / 5) / 4)


def test_str36_keeps_ascii_only() -> None:
    assert normalise36("Đường №5 İß½A-Z_٣") == "ng5iaz"


def test_str36_nfkd_keeps_the_base_letter_of_an_accented_one() -> None:
    truths, predictions = ["CAFE", "Citroën", "naïve"], ["Café", "CITROEN", "nave"]
    assert score(truths, predictions, "str36").accuracy == 1 / 3  # "nave", of which nothing is missing then
    assert score(truths, predictions, "str36-nfkd").accuracy == 2 / 3


@given(PAIRS)
def test_str36_equals_clovaai_where_the_truth_is_not_empty(pairs: list[tuple[str, str]]) -> None:
    kept = [(truth, prediction) for truth, prediction in pairs if normalise36(truth)]
    scores = score([t for t, _ in pairs], [p for _, p in pairs], "str36")
    assert scores.left_out == len(pairs) - len(kept)
    if kept:
        accuracy, norm_ed = clovaai_numbers([t for t, _ in kept], [p for _, p in kept])
        assert scores.accuracy == pytest.approx(accuracy)
        assert scores.one_minus_ned == pytest.approx(norm_ed)
    else:
        assert math.isnan(scores.accuracy) and math.isnan(scores.one_minus_ned) and math.isnan(scores.cer)


@given(PAIRS)
def test_distance_is_the_textbook_one(pairs: list[tuple[str, str]]) -> None:
    scores = score([t for t, _ in pairs], [p for _, p in pairs])
    expected = [plain_levenshtein(truth, prediction) for truth, prediction in pairs if truth]
    assert scores.distance.tolist() == expected


def test_empty_predictions_are_counted_and_worth_nothing() -> None:
    scores = score(["ab", "c"], ["", "c"])
    assert scores.empty_rate == 0.5
    assert scores.similarity.tolist() == [0.0, 1.0]


def test_prediction_that_normalises_to_nothing_counts_as_empty() -> None:
    assert score(["ab"], ["--"], "str36").empty_rate == 1.0


def test_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="str36"):
        score(["a"], ["a"], "str63")


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 ground truths but 1 predictions"):
        score(["a", "b"], ["a"])


def test_no_samples_is_nan_not_zero() -> None:
    scores = score([], [])
    assert all(math.isnan(value) for value in (scores.accuracy, scores.cer, scores.one_minus_ned, scores.empty_rate))
    assert scores.distance.dtype == np.int64
