"""Result lines with texts are read again as they were written, whatever the text looks like."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocrctl.core.eval.result_lines import read_results
from ocrctl.errors import InputError
from ocrctl.inference.engine import Recognition
from ocrctl.inference.writers import page_formats
from ocrctl.inference.writers.prediction import PagePrediction
from ocrctl.inference.writers.results import result_name, result_text, result_word
from ocrctl.models.outlines.detections import Detections

QUAD = np.array([(3, 4), (60, 4), (60, 20), (3, 20)], float)
BENT = np.array([(3, 4), (30, 1), (60, 4), (60, 20), (30, 17), (3, 20)], float)
WORDS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=12)


def page(outline: np.ndarray, texts: list[str]) -> PagePrediction:
    found = Detections.from_polygons([outline] * len(texts), np.full(len(texts), 0.75))
    return PagePrediction("photos/img_1.jpg", found, (90, 90), [Recognition(text, 0.5) for text in texts])


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=5), st.booleans(), st.booleans())
@example(["12,50", "7", "1e3, 4", '"x"', '"', '\\"a\\\\"', " spaced ", "a,b,", ",", "###"], True, False)
@example(["2015"], True, True)  # every text a number: not to be taken for more points
def test_texts_come_back(texts: list[str], quad: bool, scores: bool) -> None:
    result = page(QUAD if quad else BENT, texts)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / result_name(result)).write_text(result_text(result, scores=scores), "utf-8", newline="")
        data, found = read_results(Path(folder), scores)
    assert data.texts == texts
    assert data.points.tolist() == [*(QUAD if quad else BENT).tolist()] * len(texts)
    assert (found is not None) == scores


def test_what_needs_no_quotes_has_none() -> None:
    line = result_text(page(QUAD, ["Genaxis, Theatre"]), scores=False)
    assert line == "3,4,60,4,60,20,3,20,Genaxis, Theatre\n"
    assert result_word("38", quad=True) == "38" and result_word("38", quad=False) == '"38"'
    assert result_text(page(QUAD, ["a"]), scores=True) == "3,4,60,4,60,20,3,20,0.7500,a\n"
    assert result_text(page(QUAD, [""]), scores=False).endswith("20,\n")


def test_a_line_break_is_named_where_lines_cannot_hold_it() -> None:
    with pytest.raises(InputError, match=r"img_1.jpg: 'a\\nb' has a line break"):
        result_text(page(QUAD, ["a\nb"]), scores=False)
    cells = page_formats.text_tsv_lines(page(QUAD, ["a\t\nb\\n"])).split("\t")
    assert len(cells) == 5 and cells[3] == "a\\t\\nb\\\\n"
