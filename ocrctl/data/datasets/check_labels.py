"""Check labels once before a recogniser trains on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import output_steps
from ocrctl.data.formats.spec import WordSource
from ocrctl.data.validate.text_rules import suspects, text_errors
from ocrctl.errors import counted
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label, shortened_label

_TOGETHER = 1 << 12  # labels measured as one array


@dataclass
class LabelReport:
    """Usable samples (`kept`, indices), and the problems of the others: reason to count and first examples. A sample
    with several problems counts for each."""

    source: str
    total: int = 0
    kept: list[int] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    unknown_chars: dict[str, int] = field(default_factory=dict)
    characters: Counter[str] = field(default_factory=Counter)  # of all labels
    longest: int = 0  # code points of the longest label
    steps: int = 0  # most output steps that a label needs under CTC


UNKNOWN, EMPTY, LONG = "unknown characters", "empty label", "label too long"
STEPS = "label that needs more output steps than the model has"
_ORDER = {UNKNOWN: 1, LONG: 2, STEPS: 3}  # of the reasons of one sample, after errors of its text


def check_labels(source: WordSource, charset: Charset, spec: ModelSpec) -> LabelReport:
    """Split the samples of `source` into those that `spec` can learn with `charset` and those it cannot, with all
    reasons. Text errors of `dataset validate` are reasons too."""
    report = LabelReport(source.name, total=len(source.labels))
    known, limit = set(charset), output_steps(spec)
    usable = np.ones(report.total, bool)
    first: dict[str, list[int]] = {}  # indices of up to three samples by reason
    for start in range(0, report.total, _TOGETHER):
        block = _measure(source.labels[start : start + _TOGETHER])
        report.characters.update(block.characters)
        report.longest = max(report.longest, int(block.lengths.max()))
        report.steps = max(report.steps, int(block.steps.max()))
        rows: dict[str, list[int] | NDArray[np.int64]] = {}
        for index in suspects(block.labels):
            for code in text_errors(block.labels[index]):
                reason = EMPTY if code.name == "empty-text" else f"{code.name} ({code.code})"
                rows.setdefault(reason, []).append(index)  # type: ignore[union-attr]
        long = block.lengths > spec.max_label_length
        rows[LONG] = np.flatnonzero(long)
        if spec.tokenizer == "ctc":
            rows[STEPS] = np.flatnonzero(~long & (block.steps > limit))
        if others := block.characters.keys() - known:
            rows[UNKNOWN] = block.with_characters(others)
        for reason, places in rows.items():
            if len(places):
                usable[start + np.asarray(places)] = False
                report.problems[reason] += len(places)
                first.setdefault(reason, []).extend(start + int(place) for place in places[:3])
    report.kept = np.flatnonzero(usable).tolist()
    reasons = sorted(first, key=lambda reason: (first[reason][0], _ORDER.get(reason, 0)))
    report.problems = Counter({reason: report.problems[reason] for reason in reasons})
    for reason in reasons:
        places = first[reason][:3]
        report.examples[reason] = [f"{source.where(one)}: {shortened_label(source.labels[one])}" for one in places]
    missing = [(char, count) for char, count in report.characters.items() if char not in known]
    report.unknown_chars = dict(sorted(missing, key=lambda item: (-item[1], item[0])))
    return report


@dataclass
class _Block:
    """Labels as arrays: `codes` are the code points of all of them, `ends` (N,) where each label ends in them."""

    labels: Sequence[str]
    characters: dict[str, int]  # character to occurrences
    codes: NDArray[np.uint32]
    ends: NDArray[np.int64]
    lengths: NDArray[np.int64]  # (N,) code points
    steps: NDArray[np.int64]  # (N,) output steps under CTC, as CTCTokenizer.required_steps

    def with_characters(self, chars: set[str]) -> NDArray[np.int64]:
        """Return the positions of the labels with any of `chars`."""
        wanted = np.zeros(int(self.codes.max()) + 1, bool)
        wanted[list(map(ord, chars))] = True
        having = np.zeros(len(self.labels), bool)
        having[np.searchsorted(self.ends, np.flatnonzero(wanted[self.codes]), "right")] = True
        return np.flatnonzero(having)


def _measure(labels: Sequence[str]) -> _Block:
    """Measure labels together, in NFC."""
    text = "".join(labels)
    if normalize_label(text) != text:
        labels = list(map(normalize_label, labels))
        text = "".join(labels)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    lengths = np.fromiter(map(len, labels), np.int64, len(labels))
    ends = np.cumsum(lengths)
    repeats = np.zeros(len(codes) + 1, np.int64)  # after each code point, how many equal the one before
    if len(codes):
        repeats[2:] = codes[1:] == codes[:-1]
        repeats[ends[ends < len(codes)] + 1] = 0  # the first of a label follows another label
        np.cumsum(repeats, out=repeats)
    counts = np.bincount(codes)
    characters = {chr(code): int(counts[code]) for code in np.flatnonzero(counts).tolist()}
    return _Block(labels, characters, codes, ends, lengths, lengths + repeats[ends] - repeats[ends - lengths])


def describe(report: LabelReport) -> str:
    """Describe the problems in one sentence: counts by reason, an example of each, unknown characters with counts."""
    parts = []
    for reason, count in report.problems.most_common():
        text = f"{count} with {reason}"
        if reason == UNKNOWN:
            shown = [f"{char!r} x{n}" for char, n in list(report.unknown_chars.items())[:12]]
            more = len(report.unknown_chars) - len(shown)
            text += f" ({', '.join(shown)}{f' and {more} more' if more > 0 else ''})"
        parts.append(f"{text}, such as {report.examples[reason][0]}")
    return f"{report.source}: of {counted(report.total, 'sample')}, {'; '.join(parts)}"


def refusal(report: LabelReport, *, skip_unknown: bool, skip_bad: bool) -> str | None:
    """Return why training on the source is refused, with every problem of its labels; None when all problems are of
    kinds that are to be skipped and a sample remains."""
    if any(not (skip_unknown if reason == UNKNOWN else skip_bad) for reason in report.problems):
        return describe(report)
    if not report.kept:
        return f"{report.source}: no sample remains to train on ({describe(report)})"
    return None
