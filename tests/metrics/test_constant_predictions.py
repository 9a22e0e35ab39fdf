from __future__ import annotations

import pytest

from ocrctl.metrics.recognition import MIN_PREDICTIONS, describe_constant_predictions

WORDS = ["hotel", "exit", "cafe", "open", "zoo", "a"]


@pytest.mark.parametrize(
    ("predictions", "truths", "said"),
    [
        ([""] * 6, WORDS, "6 of 6 predictions are empty"),
        (["a"] * 6, WORDS, "6 of 6 predictions are 'a'"),
        ([""] * 96 + ["x"] * 4, ["w"] * 100, "96 of 100 predictions are empty"),
        ([""] * 94 + ["x"] * 6, ["w"] * 100, None),
        (["a", "b", "", "", "", ""], WORDS, None),
        (["zoo"] * 6, ["zoo"] * 6, None),  # one text, and it is right
        (["zoo"] * 6, ["zoo", "zoo", "zoo", "b", "c", "d"], None),
        ([""] * (MIN_PREDICTIONS - 1), WORDS[: MIN_PREDICTIONS - 1], None),
        ([], [], None),
    ],
)
def test_one_text_for_all_is_told_from_reading(predictions: list[str], truths: list[str], said: str | None) -> None:
    assert describe_constant_predictions(predictions, truths) == said


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="1 predictions but 2"):
        describe_constant_predictions([""], ["a", "b"])
