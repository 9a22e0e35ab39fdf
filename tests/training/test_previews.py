"""Previews show each label in its own letters: a font without them would draw ???? for every one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.images.draw_text import draw_text
from ocrctl.training.previews import RIGHT, TEXT_SIZE, WRONG, preview_sheet

LABELS = ["Straße", "Việt", "Ωμέγα", "Слово", "مرحبا", "ひらがな", "漢字", "한국어"]


def sheet_of(truth: str, prediction: str) -> NDArray[np.uint8]:
    return preview_sheet(np.zeros((1, 32, 100, 1), np.uint8), [truth], [prediction])


def drawn(text: str) -> NDArray[np.uint8]:
    """The part of a sheet below its image, with `text` as ground truth and nothing read."""
    return sheet_of(text, "")[70:]


def test_labels_of_every_script_are_drawn_in_their_letters() -> None:
    sheets = {label: drawn(label) for label in LABELS}
    for number, label in enumerate(LABELS):
        assert not np.array_equal(sheets[label], drawn("?" * len(label)))
        for other in LABELS[:number]:
            assert not np.array_equal(sheets[label], sheets[other])
        for place in range(len(label)):  # each letter is one of its own
            changed = label[:place] + "?" + label[place + 1 :]
            assert not np.array_equal(sheets[label], drawn(changed)), (label, place)


def test_a_character_without_a_glyph_is_drawn_as_its_code() -> None:
    assert np.array_equal(drawn("a\U0001f600b"), drawn("a\\u1f600b"))
    assert not np.array_equal(drawn("a\U0001f600b"), drawn("a?b"))
    canvas = np.full((40, 200, 3), 255, np.uint8)
    assert draw_text(canvas, "\U0001f600", (0, 30), (0, 0, 0), TEXT_SIZE) > 4 * TEXT_SIZE // 2


def test_what_is_read_right_is_green_and_what_is_wrong_red() -> None:
    def colours(prediction: str) -> set[tuple[int, ...]]:
        return {tuple(pixel) for pixel in sheet_of("한국어", prediction).reshape(-1, 3).tolist()}

    assert RIGHT in colours("한국어") and WRONG not in colours("한국어")
    assert WRONG in colours("한국") and RIGHT not in colours("한국")
    assert WRONG in colours("")  # "(empty)"
    assert np.array_equal(sheet_of("한", ""), sheet_of("한", "(empty)"))
