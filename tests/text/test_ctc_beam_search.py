"""CTC prefix beam search and alignment against sums and maxima over every path."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ocrctl.errors import UsageError
from ocrctl.text.charset import Charset
from ocrctl.text.ctc_alignment import align
from ocrctl.text.ctc_beam_search import log_softmax, prefix_beam_search
from ocrctl.text.tokenizer import CTCTokenizer


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in groupby(path) if label)


def every_text(log_probs: NDArray[np.float32]) -> dict[tuple[int, ...], float]:
    """Probability of each text: the sum over all paths of (T, K)."""
    steps, classes = log_probs.shape
    found: dict[tuple[int, ...], float] = {}
    for path in product(range(classes), repeat=steps):
        chance = float(np.exp(sum(float(log_probs[step, label]) for step, label in enumerate(path))))
        found[collapse(path)] = found.get(collapse(path), 0.0) + chance
    return found


def random_logits(seed: int, images: int, steps: int, classes: int, spread: float) -> NDArray[np.float32]:
    return (spread * np.random.default_rng(seed).normal(size=(images, steps, classes))).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    steps=st.integers(1, 5),
    classes=st.integers(2, 4),
    spread=st.sampled_from([0.1, 1, 4, 30]),
)
def test_a_full_beam_holds_every_text_with_its_probability(seed: int, steps: int, classes: int, spread: float) -> None:
    log_probs = log_softmax(random_logits(seed, 2, steps, classes, spread))
    for found, one in zip(prefix_beam_search(log_probs, 400), log_probs, strict=True):
        every = every_text(one)
        assert {tuple(text) for text, _ in found} == every.keys()
        np.testing.assert_allclose([np.exp(score) for _, score in found], sorted(every.values(), reverse=True), 1e-4)
        for text, score in found:
            assert np.exp(score) == pytest.approx(every[tuple(text)], rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), beam=st.integers(1, 6), classes=st.integers(2, 9))
def test_a_narrow_beam_is_that_of_the_published_algorithm(seed: int, beam: int, classes: int) -> None:
    """Also where a text leaves the beam and returns, and where classes are left out because none can win."""
    log_probs = log_softmax(random_logits(seed, 3, 7, classes, 1.0))
    for found, one in zip(prefix_beam_search(log_probs, beam), log_probs, strict=True):
        wanted = by_the_book(one, beam)
        assert [tuple(text) for text, _ in found] == [text for text, _ in wanted]
        np.testing.assert_allclose([score for _, score in found], [score for _, score in wanted], rtol=1e-5)


def by_the_book(log_probs: NDArray[np.float32], beam: int) -> list[tuple[tuple[int, ...], float]]:
    """Prefix beam search as Hannun et al. write it, one prefix and one class at a time."""
    now: dict[tuple[int, ...], tuple[float, float]] = {(): (1.0, 0.0)}
    for step in np.exp(log_probs.astype(np.float64)):
        then: dict[tuple[int, ...], list[float]] = {}
        for text, (blank, character) in now.items():
            same = then.setdefault(text, [0.0, 0.0])
            same[0] += (blank + character) * step[0]
            if text:
                same[1] += character * step[text[-1]]
            for label in range(1, len(step)):
                more = then.setdefault((*text, label), [0.0, 0.0])
                more[1] += (blank if text and label == text[-1] else blank + character) * step[label]
        best = sorted(then.items(), key=lambda item: -sum(item[1]))[:beam]
        now = {text: (blank, character) for text, (blank, character) in best if blank + character > 0}
    return [(text, float(np.log(blank + character))) for text, (blank, character) in now.items()]


def test_a_text_that_no_single_path_supports_is_found() -> None:
    """Graves' example: the best path is blank, yet "a" has the higher sum."""
    log_probs = np.log(np.array([[[0.6, 0.4], [0.6, 0.4]]], np.float32))
    (found,) = prefix_beam_search(log_probs, 2)
    assert [text for text, _ in found] == [[1], []]
    np.testing.assert_allclose([np.exp(score) for _, score in found], [0.64, 0.36], rtol=1e-6)


def test_many_classes_need_few_candidates() -> None:
    log_probs = log_softmax(random_logits(3, 4, 12, 800, 3.0))
    assert [[tuple(text) for text, _ in one] for one in prefix_beam_search(log_probs, 4)] == [
        [text for text, _ in by_the_book(one, 4)] for one in log_probs
    ]


def test_edges_of_the_search() -> None:
    blank = np.full((1, 5, 3), -1e4, np.float32)
    blank[..., 0] = 0.0
    assert prefix_beam_search(blank, 3)[0][0] == ([], 0.0)
    assert prefix_beam_search(np.zeros((2, 0, 3), np.float32), 3) == [[([], 0.0)]] * 2
    certain = np.full((1, 3, 3), -np.inf, np.float32)
    certain[0, [0, 1, 2], [1, 0, 1]] = 0.0
    assert prefix_beam_search(certain, 5) == [[([1, 1], 0.0)]]
    with pytest.raises(UsageError, match="a beam needs at least one text, found 0"):
        prefix_beam_search(blank, 0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 5), length=st.integers(0, 4))
def test_the_alignment_is_the_best_path(seed: int, steps: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    log_probs = log_softmax(random_logits(seed, 2, steps, 3, 2.0))
    texts = [rng.integers(1, 3, size=length).tolist(), rng.integers(1, 3, size=min(1, length)).tolist()]
    paths = [[path for path in product(range(3), repeat=steps) if collapse(path) == tuple(text)] for text in texts]
    if not all(paths):
        with pytest.raises(ValueError, match=f"cannot be aligned with {steps} steps"):
            align(log_probs, texts)
        return
    for spans, text, ways, one in zip(align(log_probs, texts), texts, paths, log_probs, strict=True):
        best = max(ways, key=lambda path: sum(one[step, label] for step, label in enumerate(path)))
        assert spans.tolist() == runs(best)
        assert len(spans) == len(text)


def runs(path: tuple[int, ...]) -> list[list[int]]:
    found, step = [], 0
    for label, group in groupby(path):
        length = len(list(group))
        if label:
            found.append([step, step + length - 1])
        step += length
    return found


def test_the_alignment_of_a_best_path_text_is_the_best_path() -> None:
    logits = random_logits(7, 30, 12, 5, 2.0)
    tokenizer = CTCTokenizer(Charset("abcd"), 12)
    ids = logits.argmax(2)
    texts = [tokenizer.encode(text) for text, _ in tokenizer.decode(ids)]
    for spans, first in zip(align(log_softmax(logits), texts), tokenizer.scored(ids), strict=True):
        assert spans[:, 0].tolist() == np.flatnonzero(first).tolist()
