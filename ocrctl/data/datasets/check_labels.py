"""Check labels once before a recogniser trains on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import output_steps
from ocrctl.data.formats.spec import WordSource
from ocrctl.data.validate.text_rules import text_errors
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label
from ocrctl.text.tokenizer import CTCTokenizer


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
    characters: set[str] = field(default_factory=set)  # of all labels
    longest: int = 0  # code points of the longest label
    steps: int = 0  # most output steps that a label needs under CTC

    def add(self, reason: str, where: str, label: str) -> None:
        """Count one bad label; the first three of each reason are kept as examples."""
        self.problems[reason] += 1
        if self.problems[reason] <= 3:
            self.examples.setdefault(reason, []).append(f"{where}: {label!r}")


UNKNOWN, EMPTY, LONG = "unknown characters", "empty label", "label too long"
STEPS = "label that needs more output steps than the model has"


def check_labels(source: WordSource, charset: Charset, spec: ModelSpec) -> LabelReport:
    """Split the samples of `source` into those that `spec` can learn with `charset` and those it cannot, with all
    reasons. Text errors of `dataset validate` are reasons too."""
    report = LabelReport(source.name, total=len(source.labels))
    known = set(charset)
    steps = output_steps(spec)
    unknown: list[str] = []
    lengths: set[int] = set()
    for index, raw in enumerate(source.labels):
        label = normalize_label(raw)
        needed = CTCTokenizer.required_steps(label)
        report.characters.update(label)
        lengths.add(len(label))
        if needed > report.steps:
            report.steps = needed
        reasons = [EMPTY if code.name == "empty-text" else f"{code.name} ({code.code})" for code in text_errors(label)]
        if not known.issuperset(label):
            reasons.append(UNKNOWN)
            unknown.append(label)
        if len(label) > spec.max_label_length:
            reasons.append(LONG)
        elif spec.tokenizer == "ctc" and needed > steps:
            reasons.append(STEPS)
        for reason in reasons:
            report.add(reason, source.where(index), label)
        if not reasons:
            report.kept.append(index)
    report.longest = max(lengths, default=0)
    report.unknown_chars = charset.unknown(unknown)
    return report


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
    return f"{report.source}: of {report.total} samples, {'; '.join(parts)}"


def refusal(report: LabelReport, *, skip_unknown: bool, skip_bad: bool) -> str | None:
    """Return why training on the source is refused, with every problem of its labels; None when all problems are of
    kinds that are to be skipped and a sample remains."""
    if any(not (skip_unknown if reason == UNKNOWN else skip_bad) for reason in report.problems):
        return describe(report)
    if not report.kept:
        return f"{report.source}: no sample remains to train on ({describe(report)})"
    return None
