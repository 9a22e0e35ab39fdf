"""Why a recogniser is not trained on some data: all reasons at once, and a command line that would work."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ocrctl.config.model_spec import ModelSpec
from ocrctl.data.datasets.check_labels import LONG, STEPS, UNKNOWN, LabelReport, check_labels, refusal
from ocrctl.data.lmdb.word_source import WordSource
from ocrctl.data.polygons.findings import Findings
from ocrctl.errors import InputError, UsageError
from ocrctl.shell import shell_quote
from ocrctl.text.charset import BUILTIN, Charset

RARE = 0.01  # share of samples up to which those that do not fit are left out, rather than the model widened for them
WIDEST = 4  # times the architecture's width, up to which it is widened for longer labels
ROUND = 16  # pixels that a suggested width is a multiple of, besides the architecture's cells


@dataclass(frozen=True)
class Fix:
    """What makes `train` accept its data: commands to run first, SPECs to give in place of others, options to add
    (the last of two equal options wins, so they can stand at the end)."""

    before: tuple[str, ...] = ()
    swaps: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    def command(self, words: Iterable[str], flags: str = "") -> str:
        """The whole command line: `words` are those after `ocrctl`, as typed; `flags` go to the commands before."""
        swapped = (self.swaps.get(_located(word), word) for word in words)
        train = [shlex.quote(word) if word.startswith("-") else shell_quote(word) for word in swapped]
        return " && ".join([*(line + flags for line in self.before), " ".join(["ocrctl", *train, *self.options])])


class TrainingDataError(InputError):
    """The data cannot be trained on as asked; `fix` is what would work (None: nothing certain)."""

    def __init__(self, message: str, fix: Fix | None) -> None:
        super().__init__(message, hint=None if fix is None else fix.command(["train"]))
        self.fix = fix


@dataclass(frozen=True)
class Wanted:
    """What a training asks of one finite source: `spec` names it on the command line; `splits` when a part is held out
    of it for validation, `files` are the errors that the headers of its images show."""

    spec: str
    source: WordSource
    report: LabelReport
    splits: bool
    files: Findings = field(default_factory=Findings)


@dataclass(frozen=True)
class Rules:
    """What the settings say of labels: the charset, whether it was asked for, and what is left out."""

    spec: ModelSpec
    charset: Charset
    charset_given: bool = False
    skip_unknown: bool = False
    skip_bad: bool = False


def refuse(wanted: Sequence[Wanted], rules: Rules) -> None:
    """Raise TrainingDataError with every reason that any of the sources gives; nothing when all can be trained on."""
    reasons = [reason for one in wanted for reason in _reasons(one, rules)]
    if not reasons:
        return
    known = {reason for one in wanted for reason in one.report.problems}
    others = ["--unknown-chars skip"] if UNKNOWN in known and not rules.skip_unknown else []
    others += ["--set data.bad_labels=skip"] if known - {UNKNOWN} and not rules.skip_bad else []
    leave = f" ({' and '.join(others)} would leave such samples out)" if others else ""
    start = f"{rules.spec.name} cannot train on this data for {len(reasons)} reasons: " if len(reasons) > 1 else ""
    raise TrainingDataError(f"{start}{'; '.join(reasons)}{leave}.", data_fix(wanted, rules))


def _reasons(one: Wanted, rules: Rules) -> list[str]:
    reasons: list[str] = []
    if one.files.hits:
        unusable = len(one.files.errors("image"))
        codes = counted(one.files, one.source.where, one.source.where)
        reasons.append(f"{one.source.name}: {unusable} of {len(one.source)} images cannot be used, {codes}")
    if labels := refusal(one.report, skip_unknown=rules.skip_unknown, skip_bad=rules.skip_bad):
        reasons.append(labels)
    if one.splits and (one.report.total == 1 or (not labels and len(one.report.kept) == 1)):
        reasons.append(f"{one.source.name}: one sample cannot be split into training and validation")
    return reasons


def data_fix(wanted: Sequence[Wanted], rules: Rules) -> Fix | None:
    """What makes all of them trainable, seen to; None when nothing here does."""
    before: list[str] = []
    swaps: dict[str, str] = {}
    options: list[str] = []
    for one in wanted:
        if one.files.hits:
            if len(one.source) - len(one.files.errors("image")) < 2:
                return None
            if len(one.files.of("listed-twice")):  # which `lmdb build` would only list
                before.append(clean_command(one.spec))
                continue
            swaps[one.spec] = unused_path(one.spec, ".lmdb")
            before.append(f"ocrctl lmdb build {shell_quote(_short(one.spec))} {shell_quote(swaps[one.spec])}")
    plan = label_plan([one.report for one in wanted], rules)
    if plan.charset is not None:
        options += ["--charset", plan.charset]
    elif plan.writes_charset:
        specs = [shell_quote(swaps.get(one.spec, _short(one.spec))) for one in wanted]
        file = unused_path(wanted[0].spec, "-charset.txt")
        before.append(f"ocrctl dataset charset {' '.join(specs)} -o {shell_quote(file)}")
        options += ["--charset", shell_quote(file)]
    options += plan.options()
    for one in wanted:
        report = check_labels(one.source, plan.chars, plan.spec)
        if refusal(
            report, skip_unknown=plan.skip_unknown or rules.skip_unknown, skip_bad=plan.skip_bad or rules.skip_bad
        ):
            return None
        if one.splits and len(report.kept) == 1 and "--val" not in options:
            options += ["--val", "synth:words"]
    return Fix(tuple(before), swaps, tuple(options))


@dataclass(frozen=True)
class LabelPlan:
    """How a model comes to fit labels: a built-in charset, or one to write from the labels; pixels of width (None: as
    it is); and what is left out. `chars` and `spec` are what results."""

    charset: str | None
    writes_charset: bool
    width: int | None
    skip_unknown: bool
    skip_bad: bool
    chars: Charset
    spec: ModelSpec

    def options(self) -> list[str]:
        """The options of `train` besides --charset."""
        words = ["--unknown-chars", "skip"] if self.skip_unknown else []
        words += ["--set", f"model.width={self.width}"] if self.width is not None else []
        return words + (["--set", "data.bad_labels=skip"] if self.skip_bad else [])


def label_plan(reports: Sequence[LabelReport], rules: Rules) -> LabelPlan:
    """The smallest change that fits `rules.spec` to the labels: a charset that holds their characters, a width that
    holds their lengths, and samples left out where they are few or nothing else helps."""
    spec, chars = rules.spec, rules.charset
    few = max(1, int(RARE * sum(report.total for report in reports)))
    count = {reason: sum(report.problems[reason] for report in reports) for reason in (UNKNOWN, LONG, STEPS)}
    faulty = any(set(report.problems) - {UNKNOWN, LONG, STEPS} for report in reports)
    built_in, writes, leaves = None, False, False
    if count[UNKNOWN] and not rules.skip_unknown:
        used = set().union(*(report.characters for report in reports))
        built_in = next((name for name, known in BUILTIN.items() if used <= set(known)), None)
        if rules.charset_given and count[UNKNOWN] <= few:
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
    skip_bad = (faulty or over) and not rules.skip_bad
    return LabelPlan(built_in, writes, width, leaves, skip_bad, chars, spec)


def fitting_width(spec: ModelSpec, longest: int, steps: int) -> int | None:
    """The smallest width in pixels at which CTC fits labels of `longest` characters that need `steps` output steps;
    None above WIDEST times the architecture's own."""
    unit = math.lcm(spec.stride_w, ROUND)
    for width in range(unit * math.ceil(spec.input_width / unit), WIDEST * spec.input_width + 1, unit):
        wider = spec.at_width(width)
        if wider.max_label_length >= longest and wider.output_steps() >= steps:
            return width
    return None


def counted(findings: Findings, image_where: Callable[[int], str], where: Callable[[int], str]) -> str:
    """`P010 out-of-bounds x3 (such as LOCATION: message), ...`: every code with its count and its first hit, located by
    the index of its image or instance."""
    parts = []
    for hits in findings.sorted():
        first = (image_where if hits.code.on == "image" else where)(int(hits.indices[0]))
        parts.append(f"{hits.code.code} {hits.code.name} x{len(hits.indices)} (such as {first}: {hits.message(0)})")
    return ", ".join(parts)


def clean_command(spec: str) -> str:
    """What takes all errors out of the data at `spec`."""
    return f"ocrctl dataset clean {shell_quote(_short(spec))} --clamp --repair --remove-bad"


def unused_path(spec: str, suffix: str) -> str:
    """A path beside what `spec` names that is not taken: its stem with `suffix`, numbered where need be."""
    path = Path(spec if Path(spec).exists() else spec.partition(":")[2])
    number = 1
    while (found := path.with_name(f"{path.stem or 'data'}{'' if number == 1 else f'-{number}'}{suffix}")).exists():
        number += 1
    return _short(str(found))


def _located(word: str) -> str:
    """A word of the command line as the settings hold it, with its path absolute."""
    if os.path.exists(word):
        return os.path.abspath(word)
    prefix, colon, rest = word.partition(":")
    return f"{prefix}:{os.path.abspath(rest)}" if colon and rest and os.path.exists(rest) else word


def _short(spec: str) -> str:
    """A SPEC with its path from the current folder, where it lies within."""
    here = os.path.join(os.getcwd(), "")
    prefix, colon, rest = ("", "", spec) if os.path.exists(spec) or ":" not in spec else spec.partition(":")
    return f"{prefix}{colon}{rest[len(here) :] if rest.startswith(here) and rest != here else rest}"
