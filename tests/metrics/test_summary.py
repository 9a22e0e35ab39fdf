"""Intervals, paired differences, rows by length, the worst list and confusions."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from ocrctl.metrics.bootstrap import Interval, percentile_interval, resample_sums, wilson_interval
from ocrctl.metrics.characters import Confusion, top_confusions
from ocrctl.metrics.recognition import score
from ocrctl.metrics.summary import by_length, differences, summarise, worst


def mean_interval(values: NDArray[np.generic], resamples: int = 1000, seed: int = 0) -> Interval:
    """The mean of `values` (n,) with its interval."""
    column = np.asarray(values, np.float64)
    means = resample_sums(column[:, None], resamples, seed)[:, 0] / column.size
    return percentile_interval(float(column.mean()), means)


def test_resample_sums_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(17, 3))
    draws = np.random.default_rng(11).integers(0, 17, size=(50, 17))
    expected = np.stack([table[row].sum(axis=0) for row in draws])
    np.testing.assert_allclose(resample_sums(table, 50, seed=11), expected)


def test_interval_matches_the_normal_approximation() -> None:
    hits = np.random.default_rng(0).random(3000) < 0.8
    interval = mean_interval(hits, resamples=4000, seed=1)
    half = 1.96 * np.sqrt(interval.value * (1 - interval.value) / hits.size)
    assert interval.low == pytest.approx(interval.value - half, abs=0.002)
    assert interval.high == pytest.approx(interval.value + half, abs=0.002)


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        interval = mean_interval(rng.random(400) < 0.7, resamples=400, seed=seed)
        covered += interval.low <= 0.7 <= interval.high
    assert 180 <= covered <= 199


def test_pairing_narrows_the_interval() -> None:
    rng = np.random.default_rng(2)
    hard = rng.random(2000)
    first, second = hard > 0.30, hard > 0.33  # the second fails on the same words and 3 % more
    difference = mean_interval(first.astype(float) - second)
    assert difference.value == pytest.approx(0.03, abs=0.01) and difference.excludes_zero
    apart = np.hypot(*(mean_interval(v).high - mean_interval(v).low for v in (first, second)))
    assert difference.high - difference.low < 0.6 * apart


def test_same_seed_same_interval() -> None:
    values = np.arange(100) % 3
    assert mean_interval(values, seed=4) == mean_interval(values, seed=4)
    assert mean_interval(values, seed=4) != mean_interval(values, seed=5)


def test_summary_intervals_hold_the_value() -> None:
    truths = [f"word{i}" for i in range(300)]
    predictions = [text if i % 3 else text[:-1] for i, text in enumerate(truths)]
    summary = summarise(score(truths, predictions), resamples=500)
    for name, interval in summary.metrics.items():
        assert interval.low <= interval.value <= interval.high, name
    assert summary.metrics["accuracy"].value == pytest.approx(2 / 3)


@pytest.mark.parametrize(("right", "low", "high"), [(10, 0.7225, 1.0), (0, 0.0, 0.2775), (8, 0.4902, 0.9433)])
def test_proportions_of_words_have_wilsons_interval(right: int, low: float, high: float) -> None:
    # Brown, Cai and DasGupta 2001, and R's prop.test(right, 10, correct = FALSE).
    found = wilson_interval(right, 10)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    texts = ["ab"] * 10
    metrics = summarise(score(texts, texts[:right] + [""] * (10 - right))).metrics
    assert metrics["accuracy"] == found
    assert metrics["empty_rate"] == wilson_interval(10 - right, 10)


@pytest.mark.parametrize(("hits", "samples"), [(0, 0), (-1, 3), (4, 3)])
def test_wilson_refuses_impossible_counts(hits: int, samples: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <= hits"):
        wilson_interval(hits, samples)


def test_no_interval_where_every_resample_is_the_same() -> None:
    texts = ["ab", "c"] * 5
    metrics = summarise(score(texts, texts)).metrics
    for name in ("cer", "one_minus_ned"):
        assert np.isnan(metrics[name].low) and np.isnan(metrics[name].high)


def test_difference_is_after_minus_before() -> None:
    before, after = score(["ab", "cd"], ["ab", "cx"]), score(["ab", "cd"], ["ab", "cd"])
    found = differences(before, after)
    assert found["accuracy"].value == 0.5 and found["cer"].value == -0.25


def test_cer_interval_is_of_the_ratio() -> None:
    truths, predictions = ["a" * 20, "b"] * 50, ["a" * 20, "c"] * 50
    interval = summarise(score(truths, predictions), resamples=1000).metrics["cer"]
    assert interval.value == pytest.approx(1 / 21)
    assert interval.low < 1 / 21 < interval.high < 0.1


def test_difference_of_a_model_with_itself_is_zero() -> None:
    scores = score(["ab", "cd", "ef"], ["ab", "cx", ""])
    for interval in differences(scores, scores, resamples=100).values():
        assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)
        assert not interval.excludes_zero


def test_differences_refuse_other_samples() -> None:
    with pytest.raises(ValueError, match="same samples"):
        differences(score(["ab"], ["ab"]), score(["cd"], ["cd"]))


def test_rows_by_length_cover_every_sample() -> None:
    truths = ["x" * n for n in (1, 3, 3, 10, 11, 12, 16, 25, 26, 80)]
    rows = by_length(score(truths, [*truths[:-1], "y"]))
    assert [(row.label, row.samples) for row in rows] == [
        ("1", 1), ("3", 2), ("10", 1), ("11-12", 2), ("13-16", 1), ("17-25", 1), ("26+", 2)
    ]  # fmt: skip
    assert rows[-1].accuracy == 0.5


def test_worst_are_wrong_and_ordered() -> None:
    scores = score(["abcd", "abcd", "abcd", "ab"], ["abcd", "abcx", "", "xy"])
    assert worst(scores, 10) == [2, 3, 1]
    assert worst(scores, 1) == [2]


def test_confusions_name_substitutions_misses_and_inventions() -> None:
    pairs = [("l0", "lo"), ("10", "1o"), ("ab", "a"), ("a", "ab"), ("same", "same")]
    assert top_confusions(pairs) == [Confusion("0", "o", 2), Confusion("", "b", 1), Confusion("b", "", 1)]


def test_a_hundred_thousand_samples_in_seconds() -> None:
    truths = [f"w{i}" for i in range(100_000)]
    start = time.perf_counter()
    summarise(score(truths, truths), resamples=200)
    assert time.perf_counter() - start < 10
