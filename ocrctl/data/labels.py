"""What must be true of labels before a recogniser trains on them; checked once, before anything starts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ocrctl.config.model_spec import ModelSpec
from ocrctl.data.sources import WordSource
from ocrctl.errors import InputError
from ocrctl.text.charset import Charset
from ocrctl.text.normalize import normalize_label
from ocrctl.text.tokenizer import CTCTokenizer


@dataclass
class LabelReport:
    """Samples a model can learn from (`kept`, indices), and why the others cannot: reason to count and first
    examples."""

    source: str
    kept: list[int] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    unknown_chars: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, where: str, label: str) -> None:
        """Count one bad label; the first three of each reason are kept as examples."""
        self.problems[reason] += 1
        if self.problems[reason] <= 3:
            self.examples.setdefault(reason, []).append(f"{where}: {label!r}")


UNKNOWN, EMPTY, LONG = "unknown characters", "empty label", "label too long"
STEPS = "label that needs more output steps than the model has"


def check_labels(source: WordSource, charset: Charset, spec: ModelSpec) -> LabelReport:
    """Sort the samples of `source` into those that `spec` can learn with `charset` and those it cannot, with
    reasons."""
    report = LabelReport(source.name)
    known = set(charset)
    steps = spec.output_steps()
    unknown: list[str] = []
    for index, raw in enumerate(source.labels):
        label = normalize_label(raw)
        if not label:
            report.add(EMPTY, source.where(index), label)
        elif not known.issuperset(label):
            report.add(UNKNOWN, source.where(index), label)
            unknown.append(label)
        elif len(label) > spec.max_label_length:
            report.add(LONG, source.where(index), label)
        elif spec.charset_kind == "ctc" and CTCTokenizer.required_steps(label) > steps:
            report.add(STEPS, source.where(index), label)
        else:
            report.kept.append(index)
    report.unknown_chars = charset.unknown(unknown)
    return report


def describe(report: LabelReport) -> str:
    """One sentence: how many samples, by reason, with an example of each and the unknown characters with counts."""
    parts = []
    for reason, count in report.problems.most_common():
        text = f"{count} with {reason}"
        if reason == UNKNOWN:
            shown = [f"{char!r} x{n}" for char, n in list(report.unknown_chars.items())[:12]]
            more = len(report.unknown_chars) - len(shown)
            text += f" ({', '.join(shown)}{f' and {more} more' if more > 0 else ''})"
        parts.append(f"{text}, such as {report.examples[reason][0]}")
    total = len(report.kept) + sum(report.problems.values())
    return f"{report.source}: of {total} samples, {'; '.join(parts)}"


def refuse(report: LabelReport, *, skip_unknown: bool, skip_bad: bool) -> None:
    """Raise InputError unless every problem of `report` is of a kind that was chosen to be skipped, or nothing is
    left."""
    blocking = [r for r in report.problems if not (skip_unknown if r == UNKNOWN else skip_bad)]
    if blocking:
        mends = []
        if UNKNOWN in blocking:
            mends.append("pass --charset FILE (ocrctl dataset charset SPEC -o FILE writes one) or --unknown-chars skip")
        if set(blocking) - {UNKNOWN}:
            mends.append("leave such samples out with --set data.bad_labels=skip")
        raise InputError(f"{describe(report)}.", hint="; ".join(mends))
    if not report.kept:
        raise InputError(f"{report.source}: no sample is left to learn from. {describe(report)}.")
