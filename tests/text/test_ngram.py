"""The character n-gram model: probabilities that sum to one, and what it prefers."""

from __future__ import annotations

from math import exp
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.errors import InputError
from ocrctl.text.charset import Charset
from ocrctl.text.ngram import END, START, NgramModel

CHARSET = Charset("abc")


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text("abcx", min_size=1, max_size=6), min_size=1, max_size=8),
    order=st.integers(1, 5),
    context=st.text("abc", max_size=4),
)
def test_the_probabilities_after_any_context_sum_to_one(texts: list[str], order: int, context: str) -> None:
    if not any(char in CHARSET for text in texts for char in text):
        return
    model = NgramModel(texts, CHARSET, "here", order)
    for history in ((START, *context), tuple(context)):
        after = history[-(order - 1) :] if order > 1 else ()
        assert sum(model.probability(after, char) for char in [*CHARSET, END]) == pytest.approx(1.0)


def test_the_probability_of_a_text_is_the_product_over_its_characters_and_its_end() -> None:
    model = NgramModel(["ab", "ab", "ac"], CHARSET, "here", 2)
    wanted = model.probability((START,), "a") * model.probability(("a",), "b") * model.probability(("b",), END)
    assert exp(model.log_probability("ab")) == pytest.approx(wanted)
    # Witten-Bell by hand: "a" was followed by b, b, c: (2 + 2 p(b)) / (3 + 2), p(b) = (2 + 4 / 4) / (9 + 4).
    assert model.probability(("a",), "b") == pytest.approx((2 + 2 * (2 + 4 * 0.25) / 13) / 5)


def test_longer_contexts_tell_more() -> None:
    model = NgramModel(["abab", "cbcb"], CHARSET, "here")
    assert model.log_probability("abab") > model.log_probability("abcb")
    assert model.log_probability("abab") > model.log_probability("bbbb")


def test_characters_outside_the_charset_are_not_predicted() -> None:
    model = NgramModel(["axb", "ab"], CHARSET, "here", 2)
    assert model.log_probability("axb") == pytest.approx(
        NgramModel(["axb", "ab"], CHARSET, "here", 2).log_probability("ayb")
    )
    with pytest.raises(InputError, match="here: expected texts with characters of the model's charset, found none"):
        NgramModel(["xyz"], CHARSET, "here")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("ab\n\nabc\n", "utf-8")
    assert NgramModel.load(path, CHARSET).log_probability("ab") == pytest.approx(
        NgramModel(["ab", "abc"], CHARSET, "here").log_probability("ab")
    )
    path.write_text("\n", "utf-8")
    with pytest.raises(InputError, match="found none"):
        NgramModel.load(path, CHARSET)
