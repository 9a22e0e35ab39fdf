"""Text of others is shown without acting, and tables give it back as it was."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrctl.escape import cell, json_text, spreadsheet_safe, visible

HOSTILE = "\x1b]0;title\x07 \x9b31m \u202egnp.exe \u2028 \udcff \x7f a\tb\r\n한"
ANY = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, exclude_categories=()))
ODD = st.text(st.sampled_from("\\\t\n\r\x1b\x9b\u202e\udcffxnu0123'\"=+-@ é한😀"))


def test_controls_become_escapes() -> None:
    assert visible(HOSTILE) == r"\x1b]0;title\x07 \x9b31m \u202egnp.exe \u2028 \udcff \x7f a\tb\r\n한"
    assert visible(HOSTILE, keep="\t\n").endswith("a\tb\\r\n한")
    assert visible("plain é 한 😀 \\ \u200c") == "plain é 한 😀 \\ \u200c"


@given(ANY | ODD)
def test_a_cell_is_one_cell_and_gives_its_text_back(text: str) -> None:
    row = "\t".join((cell(text), "next"))
    assert "\n" not in row and len(row.splitlines()) == 1 and row.count("\t") == 1
    (read,) = csv.reader(io.StringIO(row), delimiter="\t", quoting=csv.QUOTE_NONE)
    assert read[0].encode("latin-1", "backslashreplace").decode("unicode_escape") == text


@given(ANY | ODD)
def test_json_gives_its_text_back(text: str) -> None:
    shown = json_text({"text": text})
    assert json.loads(shown) == {"text": text} and visible(shown) == shown


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "\r", "＝1", "'=1"])
def test_what_starts_a_formula_is_guarded_and_comes_back(text: str) -> None:
    assert spreadsheet_safe(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "word", "-1.5", "+12", "-3e-4", "+2.5%", "a=b", "1-2"])
def test_numbers_and_words_stay(text: str) -> None:
    assert spreadsheet_safe(text) == text
