from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import InputError, UsageError
from ocrctl.models.card import card_tokenizer
from ocrctl.text.charset import BUILTIN, Charset
from ocrctl.text.normalize import normalize_label
from ocrctl.text.tokenizer import ARTokenizer, CTCTokenizer

TOKENIZER = CTCTokenizer(Charset(BUILTIN["ascii95"] + "한글é"), max_length=25)


def _path(ids: list[int]) -> list[int]:
    """The shortest alignment of `ids`: a blank only between equal neighbours."""
    path: list[int] = []
    for token in ids:
        if path and path[-1] == token:
            path.append(0)
        path.append(token)
    return path


@given(st.text(st.sampled_from(TOKENIZER.charset.chars), max_size=25))
def test_encode_then_decode_is_the_label(text: str) -> None:
    ids = TOKENIZER.encode(text)
    path = _path(ids)
    assert len(path) == TOKENIZER.required_steps(text)
    padded = np.array([path + [0] * (60 - len(path))])
    assert TOKENIZER.decode(padded, np.full(padded.shape, 0.5))[0][0] == text


def test_repeats_collapse_and_blanks_go() -> None:
    a, b = TOKENIZER.encode("ab")
    ids = np.array([[a, a, 0, a, b, b], [0, 0, 0, 0, 0, 0]])
    probs = np.array([[0.5, 0.1, 0.1, 0.5, 0.25, 0.1], [0.9] * 6])
    (text, confidence), (empty, none) = TOKENIZER.decode(ids, probs)
    assert text == "aab" and empty == "" and none == 0.0
    assert confidence == pytest.approx((0.5 * 0.5 * 0.25) ** (1 / 3))


def test_decode_without_probabilities_and_of_nothing() -> None:
    text, confidence = TOKENIZER.decode(np.array([TOKENIZER.encode("ok")]))[0]
    assert text == "ok" and math.isnan(confidence)
    assert TOKENIZER.decode(np.zeros((0, 5), int)) == []
    assert TOKENIZER.decode(np.zeros((1, 0), int), np.zeros((1, 0))) == [("", 0.0)]


def test_zero_probability_gives_a_finite_confidence() -> None:
    ids = np.array([TOKENIZER.encode("ab")])
    assert 0.0 <= TOKENIZER.decode(ids, np.zeros(ids.shape, np.float32))[0][1] < 1e-6


def test_unknown_and_overlong_labels_are_refused() -> None:
    with pytest.raises(InputError, match=r"U\+1E9E"):
        TOKENIZER.encode("Stra\u1e9ee")
    with pytest.raises(InputError, match="26 characters, the limit is 25"):
        TOKENIZER.encode("a" * 26)


def test_decomposed_text_is_composed() -> None:
    assert normalize_label("e\u0301") == "é"
    assert TOKENIZER.encode("\u1112\u1161\u11ab") == TOKENIZER.encode("한")
    assert normalize_label(" A b ") == " A b "


def test_num_classes() -> None:
    assert TOKENIZER.num_classes == 95 + 3 + 1 and TOKENIZER.required_steps("book") == 5


AR = ARTokenizer(Charset("abcé"), max_length=5)


@given(st.text(st.sampled_from("abcé"), min_size=1, max_size=5), st.integers(0, 4))
def test_autoregressive_encode_then_decode_is_the_label(text: str, more: int) -> None:
    ids = AR.encode(text)
    assert ids[0] == AR.bos == 5 and ids[-1] == AR.eos == 0 and AR.pad == 6 and AR.num_classes == 5
    read = np.array([ids[1:] + [1] * more])  # what stands behind the end is not read
    assert AR.decode(read)[0][0] == text


def test_autoregressive_confidence_counts_the_end_and_nothing_behind_it() -> None:
    probs = np.array([[0.5, 0.25, 0.5, 0.1], [0.5, 1.0, 1.0, 1.0], [0.5, 0.5, 0.5, 0.5]])
    read = AR.decode(np.array([[1, 2, 0, 3], [0, 1, 1, 1], [1, 1, 1, 1]]), probs)
    assert [text for text, _ in read] == ["ab", "", "aaaa"]
    assert [confidence for _, confidence in read] == pytest.approx([(0.5 * 0.25 * 0.5) ** (1 / 3), 0.5, 0.5])
    assert AR.decode(np.zeros((0, 5), int)) == [] and AR.decode(np.zeros((1, 0), int), np.zeros((1, 0))) == [("", 0.0)]


def test_autoregressive_texts_that_do_not_end_are_cut_at_the_maximum_length() -> None:
    ids = np.array([[1, 2, 3, 1, 2, 3], [1, 2, 3, 1, 2, 0], [1, 2, 3, 1, 0, 3]])  # 5 characters and a step for the end
    probs = np.array([[0.5, 0.5, 0.5, 0.5, 0.5, 0.1]] * 3)
    read = AR.decode(ids, probs)
    assert [text for text, _ in read] == ["abcab", "abcab", "abca"]
    assert [confidence for _, confidence in read] == pytest.approx([0.5, (0.5**5 * 0.1) ** (1 / 6), 0.5])
    assert AR.scored(ids).sum(1).tolist() == [5, 6, 5]
    assert AR.decode(np.ones((1, 9), int))[0][0] == "aaaaa"


@pytest.mark.parametrize(
    ("label", "message"), [("", "empty label"), ("abcabc", "6 characters, the limit is 5"), ("abz", "'z'")]
)
def test_autoregressive_labels_that_cannot_be_learnt_are_refused(label: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        AR.encode(label)


def test_the_architecture_of_a_card_names_the_tokenizer() -> None:
    card = ModelCard("parseq-tiny", "recognition", "ab", 32, 128, 3, 9)
    assert isinstance(card_tokenizer(card), ARTokenizer) and card_tokenizer(card).max_length == 9
    with pytest.raises(UsageError, match="Unknown architecture 'rnn-t'"):
        card_tokenizer(replace(card, arch="rnn-t"))


def test_only_scored_steps_count_for_the_confidence() -> None:
    ids = np.array([[1, 1, 0, 2, 0], [2, 0, 1, 1, 1]])
    for tokenizer in (CTCTokenizer(Charset("ab"), 5), ARTokenizer(Charset("ab"), 5)):
        scored = tokenizer.scored(ids)
        probs = np.where(scored, 0.25, 1.0)
        assert [round(confidence, 6) for _, confidence in tokenizer.decode(ids, probs)] == [0.25, 0.25]
        assert tokenizer.decode(ids, np.where(scored, 0.25, np.nan)) == tokenizer.decode(ids, probs)
