"""Widths that words have in the input of a recogniser."""

from __future__ import annotations

import numpy as np

from ocrctl.data.validate.recogniser_rules import input_widths
from ocrctl.models.registry import get_spec


def test_a_stretched_word_has_the_input_width_and_a_kept_one_its_own() -> None:
    heights, widths = np.array([16.0, 40.0, 32.0, np.nan]), np.array([20.0, 20_000.0, 3.0, np.nan])
    assert input_widths(get_spec("crnn"), heights, widths).tolist() == [128.0] * 4
    assert input_widths(get_spec("crnn", resize="keep"), heights, widths).tolist() == [40.0, 640.0, 8.0, 640.0]
