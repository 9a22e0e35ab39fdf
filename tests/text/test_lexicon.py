"""Lexicons: words and their probabilities by CTC against sums over every path, and what a model cannot read."""

from __future__ import annotations

from itertools import groupby, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.errors import InputError
from ocrctl.text.charset import Charset
from ocrctl.text.ctc_beam_search import log_softmax, prefix_beam_search
from ocrctl.text.lexicon import Lexicon
from ocrctl.text.tokenizer import CTCTokenizer

TOKENIZER = CTCTokenizer(Charset("abc"), 6)


def probability(log_probs: np.ndarray, ids: list[int]) -> float:
    paths = product(range(log_probs.shape[1]), repeat=len(log_probs))
    sums = [
        float(log_probs[np.arange(len(log_probs)), path].sum())
        for path in paths
        if [label for label, _ in groupby(path) if label] == ids
    ]
    return float(np.exp(sums).sum())


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    steps=st.integers(1, 5),
    words=st.sets(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=8),
)
def test_words_come_with_their_probability_over_all_alignments(seed: int, steps: int, words: set[str]) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, (3, steps, 4)).astype(np.float32)
    log_probs, lexicon = log_softmax(logits), Lexicon(sorted(words), TOKENIZER, "here")
    fitting = {word for word in words if TOKENIZER.required_steps(word) <= steps}
    for found, one in zip(lexicon.best_words(log_probs, 20), log_probs, strict=True):
        assert {"".join("abc"[label - 1] for label in ids) for ids, _ in found} == fitting
        scores = [score for _, score in found]
        assert scores == sorted(scores, reverse=True)
        for ids, score in found:
            assert np.exp(score) == pytest.approx(probability(one, ids), rel=1e-4)


def test_a_lexicon_of_every_text_is_the_prefix_beam_search() -> None:
    words = ["".join(text) for length in range(1, 5) for text in product("abc", repeat=length)]
    log_probs = log_softmax(np.random.default_rng(0).normal(0, 3, (20, 4, 4)).astype(np.float32))
    searched = prefix_beam_search(log_probs, 200)
    for found, every in zip(Lexicon(words, TOKENIZER, "here").best_words(log_probs, 3), searched, strict=True):
        assert [ids for ids, _ in found] == [ids for ids, _ in every if ids][:3]


def test_images_are_computed_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    lexicon = Lexicon(["abc", "ab", "cab"], TOKENIZER, "here")
    log_probs = log_softmax(np.random.default_rng(0).normal(0, 3, (7, 5, 4)).astype(np.float32))
    before = lexicon.best_words(log_probs, 2)
    monkeypatch.setattr("ocrctl.text.lexicon._CELLS", 10)
    assert lexicon.best_words(log_probs, 2) == before


def test_words_that_cannot_be_read_are_counted_and_named(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("abc\r\nab\n\nabc\nxab\nabz\nabcabca\n", "utf-8")
    lexicon = Lexicon.load(path, TOKENIZER)
    assert lexicon.words == 2
    assert lexicon.note == (
        f"{path}: of 5 words the model cannot read 2 with characters outside the charset (xz) and 1 with more than 6 "
        "characters"
    )
    assert Lexicon(["a"], TOKENIZER, "here").note == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected words that the model can read, found none"),
        (b"\n\n", "found none"),
        (b"xyz\n", r"expected words that the model can read: of 1, 1 with characters outside the charset \(xyz\)"),
        (b"abcabcabc\n", "of 1, 1 with more than 6 characters"),
        (b"ab\n\xff\n", ":2: expected UTF-8 text, found byte 0xff"),
    ],
)
def test_files_without_words_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Lexicon.load(path, TOKENIZER)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent.txt: cannot be read"):
        Lexicon.load(tmp_path / "absent.txt", TOKENIZER)


def test_words_are_compared_in_nfc() -> None:
    tokenizer = CTCTokenizer(Charset("é"), 6)
    assert Lexicon(["e\u0301", "\u00e9"], tokenizer, "here").words == 1
