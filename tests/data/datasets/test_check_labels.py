"""Labels are checked before training: nothing is dropped, cut or swapped in silence."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ocrctl.config.output_steps import output_steps
from ocrctl.data.datasets.check_labels import EMPTY, LONG, STEPS, UNKNOWN, check_labels, describe, refusal
from ocrctl.data.polygons.codes import BY_NAME
from ocrctl.data.validate.text_rules import has_error, text_errors, text_problems
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label
from ocrctl.text.tokenizer import CTCTokenizer


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


def test_a_sample_counts_under_each_of_its_problems() -> None:
    """Before: only the first was told, so that mending it met the next."""
    report = check_labels(Labels("ok", "ö" * 26, ""), Charset("ok"), SPEC)
    assert dict(report.problems) == {UNKNOWN: 1, LONG: 1, EMPTY: 1} and report.kept == [0]
    assert (report.total, report.longest, report.steps) == (3, 26, 51)
    assert "of 3 samples, " in describe(report)


def test_refusal_names_all_and_skipping_is_a_choice() -> None:
    report = check_labels(Labels("ok", "ök", ""), Charset("ok"), SPEC)
    said = refusal(report, skip_unknown=False, skip_bad=False)
    assert said and "unknown characters ('ö' x1)" in said and "empty label" in said
    assert refusal(report, skip_unknown=True, skip_bad=False)
    assert refusal(report, skip_unknown=True, skip_bad=True) is None


def test_decomposed_labels_count_as_their_nfc_form() -> None:
    assert check_labels(Labels("e\u0301"), Charset("é"), SPEC).kept == [0]


def test_nothing_left_is_refused_even_when_skipping() -> None:
    said = refusal(check_labels(Labels("ö"), Charset("o"), SPEC), skip_unknown=True, skip_bad=True)
    assert said and "no sample remains" in said


@pytest.mark.parametrize(
    "text",
    [
        "word",
        " word",
        "",
        " ",
        "a\u0007b",
        "\ufffd",
        "TEMPORARY",
        "????",
        "ì½”ë”",
        "NESTLÉ®",
        "서울",
        "à\u200bb",
        "Ãœber",
    ],
)
def test_errors_of_a_text_are_those_of_the_rules(text: str) -> None:
    """A quick look at the text must not pass over what a rule would find."""
    slow = [name for name, _ in text_problems(text) if BY_NAME[name].severity == "error"]
    assert [code.name for code in text_errors(text)] == slow and has_error(text) == bool(slow)


@pytest.mark.parametrize("arch", ["crnn-tiny", "parseq-tiny"])
def test_labels_measured_together_have_the_reasons_of_each_alone(arch: str) -> None:
    spec, charset = get_spec(arch), Charset("abcdework é서")
    draw = random.Random(0)
    texts = [
        "",
        " ",
        "ok",
        "a" * 14,
        "ab" * 20,
        "a\nb",
        "\ud800",
        "????a",
        "TEMPORARY",
        "e\u0301",
        "é",
        "서울",
        "a𝒷",
        "zz",
    ]
    labels = [draw.choice(texts) + draw.choice(["", "", "a", "é"]) for _ in range(5000)]
    problems: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    kept = []
    for index, label in enumerate(map(normalize_label, labels)):
        reasons = [EMPTY if code.name == "empty-text" else f"{code.name} ({code.code})" for code in text_errors(label)]
        unknown.update(char for char in label if char not in charset)
        reasons += [UNKNOWN] if set(label) - set(charset) else []
        if len(label) > spec.max_label_length:
            reasons.append(LONG)
        elif spec.tokenizer == "ctc" and CTCTokenizer.required_steps(label) > output_steps(spec):
            reasons.append(STEPS)
        problems.update(reasons)
        kept += [] if reasons else [index]
    report = check_labels(Labels(*labels), charset, spec)
    assert report.kept == kept and list(report.problems.items()) == list(problems.items())
    assert report.unknown_chars == unknown and report.characters == Counter("".join(map(normalize_label, labels)))
    assert (report.longest, report.steps) == (41, max(map(CTCTokenizer.required_steps, map(normalize_label, labels))))
    first = next(index for index, label in enumerate(labels) if not label.strip())
    assert report.examples[EMPTY][0] == f"gt.txt:{first + 1}: {labels[first]!r}"
