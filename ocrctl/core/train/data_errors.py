"""Errors in the data of a recogniser: all reasons at once, with a command line that fixes them."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.output_steps import output_steps
from ocrctl.data.datasets.check_labels import LONG, STEPS, UNKNOWN, LabelReport, check_labels, refusal
from ocrctl.data.lmdb.word_source import WordSource
from ocrctl.data.polygons.findings import Findings
from ocrctl.errors import InputError, UsageError
from ocrctl.shell import shell_quote
from ocrctl.text.charset import BUILTIN, Charset

MAX_SKIPPED = 0.01  # fraction of samples to skip rather than widen the model for them
MAX_WIDENING = 4  # largest suggested width, as a multiple of the architecture's width
MAX_WIDTH = 8192  # pixels, of model.width
WIDTH_MULTIPLE = 16  # pixels; a suggested width is a multiple of this and of the horizontal stride


@dataclass(frozen=True)
class Fix:
    """Changes to a `train` command line that make its data valid: commands to run first, SPECs to replace, and options
    to append, in place of those of the same name."""

    commands: tuple[str, ...] = ()
    replacements: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    def command(self, words: Iterable[str], flags: str = "") -> str:
        """Return the whole command line: `words` are those after `ocrctl`; `flags` are appended to the commands."""
        replaced = (self.replacements.get(_absolute(word), word) for word in self._without_old(list(words)))
        train = [shlex.quote(word) if word.startswith("-") else shell_quote(word) for word in replaced]
        return " && ".join([*(line + flags for line in self.commands), " ".join(["ocrctl", *train, *self.options])])

    def _without_old(self, words: list[str]) -> Iterator[str]:
        """Yield `words` without the options that `options` give again: --charset VALUE, --charset=VALUE, --set K=V."""
        pairs = list(zip(self.options[::2], self.options[1::2], strict=True))
        names = {name for name, _ in pairs} - {"--set"}
        settings = {value.partition("=")[0] for name, value in pairs if name == "--set"}
        rest = iter(range(len(words)))
        for index in rest:
            name, equals, value = words[index].partition("=")
            following = value if equals else words[index + 1] if index + 1 < len(words) else ""
            if name in names or (name == "--set" and following.partition("=")[0] in settings):
                if not equals:
                    next(rest, None)
            else:
                yield words[index]


class TrainingDataError(InputError):
    """Data that cannot be used for training; `fix` is a command line that works (None: no certain one)."""

    def __init__(self, message: str, fix: Fix | None) -> None:
        super().__init__(message, hint=None if fix is None else fix.command(["train"]))
        self.fix = fix


@dataclass(frozen=True)
class CheckedSource:
    """One finite source and its errors: `spec` names it on the command line, `splits`: a part is held out for
    validation, `files`: errors in the headers of its images."""

    spec: str
    source: WordSource
    report: LabelReport
    splits: bool
    files: Findings = field(default_factory=Findings)


@dataclass(frozen=True)
class LabelPolicy:
    """Settings about labels: the charset, whether it was given, and which labels are skipped."""

    spec: ModelSpec
    charset: Charset
    charset_given: bool = False
    skip_unknown: bool = False
    skip_bad: bool = False


def raise_data_errors(sources: Sequence[CheckedSource], policy: LabelPolicy) -> None:
    """Raise TrainingDataError with the errors of all sources; return when there are none."""
    reasons = [reason for one in sources for reason in _reasons(one, policy)]
    if not reasons:
        return
    known = {reason for one in sources for reason in one.report.problems}
    others = ["--unknown-chars skip"] if UNKNOWN in known and not policy.skip_unknown else []
    others += ["--set data.bad_labels=skip"] if known - {UNKNOWN} and not policy.skip_bad else []
    leave = f" ({' and '.join(others)} would leave such samples out)" if others else ""
    start = f"{policy.spec.name} cannot train on this data for {len(reasons)} reasons: " if len(reasons) > 1 else ""
    raise TrainingDataError(f"{start}{'; '.join(reasons)}{leave}.", data_fix(sources, policy))


def _reasons(one: CheckedSource, policy: LabelPolicy) -> list[str]:
    reasons: list[str] = []
    if one.files.hits:
        unusable = len(one.files.errors("image"))
        codes = summarise_findings(one.files, one.source.where, one.source.where)
        reasons.append(f"{one.source.name}: {unusable} of {len(one.source)} images cannot be used, {codes}")
    if labels := refusal(one.report, skip_unknown=policy.skip_unknown, skip_bad=policy.skip_bad):
        reasons.append(labels)
    if one.splits and (one.report.total == 1 or (not labels and len(one.report.kept) == 1)):
        reasons.append(f"{one.source.name}: one sample cannot be split into training and validation")
    return reasons


def data_fix(sources: Sequence[CheckedSource], policy: LabelPolicy) -> Fix | None:
    """Return the changes that make all sources valid, checked to work; None when there are none."""
    commands: list[str] = []
    replacements: dict[str, str] = {}
    options: list[str] = []
    for one in sources:
        if one.files.hits:
            if len(one.source) - len(one.files.errors("image")) < 2:
                return None
            if len(one.files.of("listed-twice")):  # which `lmdb build` would only list
                commands.append(clean_command(one.spec))
                continue
            replacements[one.spec] = unused_path(one.spec, ".lmdb")
            commands.append(
                f"ocrctl lmdb build {shell_quote(_relative(one.spec))} {shell_quote(replacements[one.spec])}"
            )
    plan = label_plan([one.report for one in sources], policy)
    if plan.charset is not None:
        options += ["--charset", plan.charset]
    elif plan.writes_charset:
        specs = [shell_quote(replacements.get(one.spec, _relative(one.spec))) for one in sources]
        file = unused_path(sources[0].spec, "-charset.txt")
        commands.append(f"ocrctl dataset charset {' '.join(specs)} -o {shell_quote(file)}")
        options += ["--charset", shell_quote(file)]
    options += plan.options()
    same = plan.chars is policy.charset and plan.spec is policy.spec
    for one in sources:
        report = one.report if same else check_labels(one.source, plan.chars, plan.spec)
        if refusal(
            report, skip_unknown=plan.skip_unknown or policy.skip_unknown, skip_bad=plan.skip_bad or policy.skip_bad
        ):
            return None
        if one.splits and len(report.kept) == 1 and "--val" not in options:
            options += ["--val", "synth:words"]
    return Fix(tuple(commands), replacements, tuple(options))


@dataclass(frozen=True)
class LabelPlan:
    """Changes that make a model fit the labels: a built-in charset, or one to write from the labels; the width in
    pixels (None: unchanged); which labels to skip. `chars` and `spec` are the result."""

    charset: str | None
    writes_charset: bool
    width: int | None
    skip_unknown: bool
    skip_bad: bool
    chars: Charset
    spec: ModelSpec

    def options(self) -> list[str]:
        """Return the options of `train` besides --charset."""
        words = ["--unknown-chars", "skip"] if self.skip_unknown else []
        words += ["--set", f"model.width={self.width}"] if self.width is not None else []
        return words + (["--set", "data.bad_labels=skip"] if self.skip_bad else [])


def label_plan(reports: Sequence[LabelReport], policy: LabelPolicy) -> LabelPlan:
    """Return the smallest change that fits `policy.spec` to the labels: a charset with their characters, a width for
    their lengths, and skipped samples where they are few or nothing else works."""
    spec, chars = policy.spec, policy.charset
    few = max(1, int(MAX_SKIPPED * sum(report.total for report in reports)))
    count = {reason: sum(report.problems[reason] for report in reports) for reason in (UNKNOWN, LONG, STEPS)}
    faulty = any(set(report.problems) - {UNKNOWN, LONG, STEPS} for report in reports)
    built_in, writes, leaves = None, False, False
    if count[UNKNOWN] and not policy.skip_unknown:
        used = set().union(*(report.characters for report in reports))
        built_in = next((name for name, known in BUILTIN.items() if used <= set(known)), None)
        if policy.charset_given and count[UNKNOWN] <= few:
            built_in, leaves = None, True
        elif built_in is not None:
            chars = Charset(BUILTIN[built_in])
        else:
            try:
                chars, writes = Charset.from_labels(used), True
            except UsageError:  # a character that no charset can hold
                leaves = True
    width = None
    if count[LONG] + count[STEPS] > few and spec.tokenizer == "ctc":
        longest, steps = max(report.longest for report in reports), max(report.steps for report in reports)
        width = fitting_width(spec, longest, steps)
        spec = spec if width is None else spec.at_width(width)
    over = bool(count[LONG] + count[STEPS]) and width is None
    skip_bad = (faulty or over) and not policy.skip_bad
    return LabelPlan(built_in, writes, width, leaves, skip_bad, chars, spec)


def fitting_width(spec: ModelSpec, longest: int, steps: int) -> int | None:
    """Return the smallest width in pixels at which CTC fits labels of `longest` characters that need `steps` output
    steps; None above MAX_WIDENING times the architecture's own."""
    unit = math.lcm(spec.stride_w, WIDTH_MULTIPLE)
    for width in range(
        unit * math.ceil(spec.input_width / unit), min(MAX_WIDENING * spec.input_width, MAX_WIDTH) + 1, unit
    ):
        wider = spec.at_width(width)
        if wider.max_label_length >= longest and output_steps(wider) >= steps:
            return width
    return None


def summarise_findings(findings: Findings, image_where: Callable[[int], str], where: Callable[[int], str]) -> str:
    """Return `P010 out-of-bounds x3 (such as LOCATION: message), ...`: every code with its count and first finding."""
    parts = []
    for hits in findings.sorted():
        first = (image_where if hits.code.on == "image" else where)(int(hits.indices[0]))
        parts.append(f"{hits.code.code} {hits.code.name} x{len(hits.indices)} (such as {first}: {hits.message(0)})")
    return ", ".join(parts)


def clean_command(spec: str) -> str:
    """Return the command that removes all errors from the data at `spec`."""
    return f"ocrctl dataset clean {shell_quote(_relative(spec))} --clamp --repair --remove-bad"


def unused_path(spec: str, suffix: str) -> str:
    """Return an unused path beside that of `spec`: its stem with `suffix`, numbered if necessary."""
    path = Path(spec if Path(spec).exists() else spec.partition(":")[2])
    number = 1
    while (found := path.with_name(f"{path.stem or 'data'}{'' if number == 1 else f'-{number}'}{suffix}")).exists():
        number += 1
    return _relative(str(found))


def _absolute(word: str) -> str:
    """Return a word of the command line with its path absolute, as the settings hold it."""
    if os.path.exists(word):
        return os.path.abspath(word)
    prefix, colon, rest = word.partition(":")
    return f"{prefix}:{os.path.abspath(rest)}" if colon and rest and os.path.exists(rest) else word


def _relative(spec: str) -> str:
    """Return a SPEC with its path relative to the current folder if it is below it."""
    here = os.path.join(os.getcwd(), "")
    prefix, colon, rest = ("", "", spec) if os.path.exists(spec) or ":" not in spec else spec.partition(":")
    return f"{prefix}{colon}{rest[len(here) :] if rest.startswith(here) and rest != here else rest}"
