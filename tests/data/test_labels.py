"""Labels are checked before training: nothing is dropped, cut or swapped in silence."""

from __future__ import annotations

import pytest

from ocrctl.config.model_spec import get_spec
from ocrctl.data.labels import EMPTY, LONG, STEPS, UNKNOWN, check_labels, describe, refuse
from ocrctl.errors import InputError
from ocrctl.text.charset import Charset


class Labels:
    """A word source that has labels alone."""

    name = "gt.txt"

    def __init__(self, *labels: str) -> None:
        self.labels = list(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def image_bytes(self, index: int) -> bytes:
        raise AssertionError("labels are checked without reading pictures")

    def where(self, index: int) -> str:
        return f"gt.txt:{index + 1}"


SPEC = get_spec("crnn-tiny")  # 25 steps, at most 25 characters


def test_each_problem_has_its_reason() -> None:
    report = check_labels(
        Labels("ok", "", "été", "a" * 26, "aabbccddeeffgghhi", "ab" * 12), Charset("abcdefghiok"), SPEC
    )
    assert report.kept == [0, 4, 5]
    assert dict(report.problems) == {EMPTY: 1, UNKNOWN: 1, LONG: 1}
    assert report.unknown_chars == {"é": 2, "t": 1}
    assert "gt.txt:2" in report.examples[EMPTY][0]


def test_repeats_need_a_blank_between_them() -> None:
    report = check_labels(Labels("aabbccddeeffg", "a" * 13, "a" * 14), Charset("abcdefg"), SPEC)
    assert report.kept == [0, 1]  # 13 characters and 12 blanks fit 25 steps, 14 and 13 do not
    assert dict(report.problems) == {STEPS: 1}


def test_refusal_says_what_to_do_and_skipping_is_a_choice() -> None:
    report = check_labels(Labels("ok", "ök", ""), Charset("ok"), SPEC)
    with pytest.raises(InputError, match="unknown characters") as caught:
        refuse(report, skip_unknown=False, skip_bad=False)
    assert "--unknown-chars skip" in str(caught.value.hint)
    assert "data.bad_labels=skip" in str(caught.value.hint)
    with pytest.raises(InputError):
        refuse(report, skip_unknown=True, skip_bad=False)
    refuse(report, skip_unknown=True, skip_bad=True)
    assert "'ö' x1" in describe(report)


def test_decomposed_labels_count_as_their_nfc_form() -> None:
    assert check_labels(Labels("e\u0301"), Charset("é"), SPEC).kept == [0]


def test_nothing_left_is_an_error_even_when_skipping() -> None:
    with pytest.raises(InputError, match="no sample is left"):
        refuse(check_labels(Labels("ö"), Charset("o"), SPEC), skip_unknown=True, skip_bad=True)
