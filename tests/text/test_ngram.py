"""The character n-gram model: probabilities that sum to one, what it prefers, and what it says nothing about."""

from __future__ import annotations

from collections import Counter
from math import exp, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrctl.errors import InputError
from ocrctl.text.charset import Charset
from ocrctl.text.ngram import BOUNDARY, NgramModel

CHARSET = Charset("abc")


@settings(max_examples=40, deadline=None)
@given(
    collections=st.lists(
        st.lists(st.text("abcx", min_size=1, max_size=6), min_size=1, max_size=8), min_size=1, max_size=3
    ),
    order=st.integers(1, 5),
    context=st.text("abc", max_size=4),
)
def test_the_probabilities_after_any_context_sum_to_one(collections: list[list[str]], order: int, context: str) -> None:
    held = {str(n): texts for n, texts in enumerate(collections) if any(char in CHARSET for char in "".join(texts))}
    if not held:
        return
    model = NgramModel(held, CHARSET, order)
    for history in (BOUNDARY + context, context):
        after = history[-(order - 1) :] if order > 1 else ""
        assert sum(model.probability(after, char) for char in [*model.known, BOUNDARY]) == pytest.approx(1.0)


def test_the_probability_of_a_text_is_the_product_over_its_characters_and_its_end() -> None:
    model = NgramModel({"here": ["ab", "ab", "ac"]}, CHARSET, 2)
    wanted = model.probability(BOUNDARY, "a") * model.probability("a", "b") * model.probability("b", BOUNDARY)
    assert exp(model.log_probability("ab")) == pytest.approx(wanted)
    # Witten-Bell by hand: "a" was followed by b, b, c: (2 + 2 p(b)) / (3 + 2), p(b) = (2 + 4 / 4) / (9 + 4).
    assert model.probability("a", "b") == pytest.approx((2 + 2 * (2 + 4 * 0.25) / 13) / 5)


def test_longer_contexts_tell_more() -> None:
    model = NgramModel({"here": ["abab", "cbcb"]}, CHARSET)
    assert model.log_probability("abab") > model.log_probability("abcb")
    assert model.log_probability("abab") > model.log_probability("bbbb")


def test_collections_are_interpolated_with_equal_weights() -> None:
    few, many = ["ab"], ["cb"] * 1000
    both = NgramModel({"few": few, "many": Counter(many)}, CHARSET, 2)
    assert both.probability(BOUNDARY, "a") == pytest.approx(
        (both._counts[0].probability(BOUNDARY, "a", 0.25) + both._counts[1].probability(BOUNDARY, "a", 0.25)) / 2
    )
    assert 0.2 < both.probability(BOUNDARY, "a") < NgramModel({"few": few}, CHARSET, 2).probability(BOUNDARY, "a")


def test_unknown_characters_divide_a_text_and_have_no_probability() -> None:
    model = NgramModel({"here": ["ab", "ab", "a\u00e4b"]}, Charset("ab\u00e4"), 2)
    assert model.known == {"a", "b", "\u00e4"}
    for outside in ("x", "7", "\uac00"):
        assert model.log_probability(f"ab{outside}ab") == pytest.approx(2 * model.log_probability("ab"))
        assert model.frame(f"a{outside}bb") == model.frame(f"ab{outside}a") != model.frame(f"{outside}bb")
    assert model.log_probability("xyz") == 0.0
    assert model.log_probability("") == pytest.approx(log(model.probability(BOUNDARY, BOUNDARY)))
    with pytest.raises(InputError, match="here: expected texts with characters of the model's charset, found none"):
        NgramModel({"good": ["ab"], "here": ["xyz", ""]}, CHARSET)


def test_rare_characters_are_unknown() -> None:
    charset = Charset("abcdefghij 0")
    words = NgramModel({"here": ["abcdefghij"] * 200 + ["a0", "ab cd"] * 10}, charset)
    assert words.known == set("abcdefghij")  # 0 is more than ten times rarer than the average, the space rarer than it
    assert NgramModel({"here": ["abcdefghij"] * 10 + ["a0"] * 10}, charset).known == set("abcdefghij0")
    assert " " in NgramModel({"here": ["ab cd ef gh ij"] * 10}, charset).known
