"""`ocrctl import-timing`: time the start of each command and the import of heavy dependencies, against budgets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from ocrctl.config.suggest import did_you_mean
from ocrctl.diagnose.imports import (
    HEAVY_MODULES,
    ImportNode,
    Target,
    command_target,
    import_tree,
    measure,
    module_targets,
)
from ocrctl.errors import InputError, UsageError
from ocrctl.files.atomic import write_with_newline
from ocrctl.files.regular import read_regular

# Ratios to `python -c pass`, about twice those of an idle machine: they catch a heavy import in a command
# module (numpy alone adds 5, torch 60 and more), not load on the machine. The first matching pattern applies.
DEFAULT_BUDGETS = {"ocrctl": 14.0, "ocrctl *": 16.0, "typer": 12.0, "torch": 400.0, "lightning": 800.0}


@dataclass(frozen=True)
class Timing:
    """One row: median seconds, ratio to the bare interpreter, budget and baseline."""

    name: str
    kind: str
    seconds: float | None
    ratio: float | None
    budget: float | None = None
    baseline_ratio: float | None = None
    verdict: str = "ok"  # "ok", "over budget", "slower than the baseline" or "failed"
    note: str = ""


@dataclass(frozen=True)
class ImportTimingResult:
    """All rows, slowest first within their kind, and the import tree of the chosen target."""

    bare_seconds: float
    runs: int
    timings: list[Timing]
    tree: ImportNode | None = None
    saved_to: Path | None = None
    failures: list[Timing] = field(default_factory=list)


def parse_budgets(pairs: Sequence[str]) -> dict[str, float]:
    """Parse `NAME=RATIO` strings; NAME may contain wildcards. Raises UsageError for a malformed one."""
    budgets: dict[str, float] = {}
    for pair in pairs:
        name, equals, number = pair.rpartition("=")
        try:
            ratio = float(number)
        except ValueError:
            ratio = 0.0
        if not (name and equals and ratio > 0):
            raise UsageError(
                f"--budget {pair!r} is not NAME=RATIO with a ratio above 0.", hint="e.g. --budget torch=100"
            )
        budgets[name] = ratio
    return budgets


def select(targets: Sequence[Target], wanted: Sequence[str]) -> list[Target]:
    """Return the targets whose name (with or without the leading `ocrctl `) matches one of the names or wildcards.

    Raises UsageError for a name that matches nothing.
    """
    chosen: list[Target] = []
    for name in wanted:
        hits = [target for target in targets if _matches(target.name, name)]
        if not hits:
            names = [target.name for target in targets]
            meant = did_you_mean(name, names + [known.removeprefix("ocrctl ") for known in names])
            raise UsageError(f"No target {name!r} to time.{meant}", hint="ocrctl import-timing --list")
        chosen.extend(target for target in hits if target not in chosen)
    return chosen


def import_timing(
    commands: Sequence[tuple[str, ...]],
    *,
    only: Sequence[str] = (),
    runs: int = 5,
    budgets: Mapping[str, float] | None = None,
    tree: str | None = None,
    save: Path | None = None,
    baseline: Path | None = None,
    tolerance: float = 0.25,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportTimingResult:
    """Time `--help` of the commands and the installed heavy modules.

    `commands` are paths below `ocrctl` (`("lmdb", "info")`); `budgets` take precedence over DEFAULT_BUDGETS;
    `tolerance` is the share by which a ratio may exceed the baseline's. Raises UsageError (names, budgets) and
    InputError (baseline file).
    """
    known = all_targets(commands)
    own_budgets = dict(budgets or {})
    for name in own_budgets:
        select(known, [name])
    chosen = select(known, only) if only else known
    tree_target = select(known, [tree])[0] if tree else None
    before = load_baseline(baseline) if baseline else {}
    bare, samples = measure(chosen, runs, progress=progress)
    timings = []
    for sample in samples:
        name, kind = sample.target.name, sample.target.kind
        if sample.seconds is None:
            timings.append(Timing(name, kind, None, None, verdict="failed", note=sample.failure))
            continue
        ratio = sample.seconds / bare
        budget = _budget_of(name, own_budgets) or _budget_of(name, DEFAULT_BUDGETS)
        earlier = before.get(name)
        verdict = "ok"
        if budget is not None and ratio > budget:
            verdict = "over budget"
        elif earlier is not None and ratio > earlier * (1 + tolerance):
            verdict = "slower than the baseline"
        timings.append(Timing(name, kind, sample.seconds, ratio, budget, earlier, verdict))
    timings.sort(key=lambda row: (row.kind, -(row.seconds or 0.0)))
    if save:
        _save(save, bare, runs, timings)
    return ImportTimingResult(
        bare,
        runs,
        timings,
        import_tree(tree_target) if tree_target else None,
        save,
        [row for row in timings if row.verdict != "ok"],
    )


def all_targets(commands: Sequence[tuple[str, ...]]) -> list[Target]:
    """Return `ocrctl` itself, each command, and each installed heavy module."""
    return [command_target(()), *(command_target(path) for path in commands), *module_targets()]


def load_baseline(path: Path) -> dict[str, float]:
    """Load the ratios saved by an earlier run. Raises InputError when the file is missing or invalid."""
    try:
        ratios = json.loads(read_regular(path))["ratios"]
        return {str(name): float(ratio) for name, ratio in ratios.items()}
    except OSError as error:
        raise InputError(
            f"{path}: cannot read the baseline: {error.strerror}.", hint=f"write one: --save {path}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not a file that import-timing --save wrote.", hint=f"write one: --save {path}"
        ) from error


def _matches(name: str, pattern: str) -> bool:
    if pattern in HEAVY_MODULES:  # `lmdb` is the module; the group of commands is `ocrctl lmdb`
        return name == pattern
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"ocrctl {pattern}")


def _budget_of(name: str, budgets: Mapping[str, float]) -> float | None:
    return next((ratio for pattern, ratio in budgets.items() if _matches(name, pattern)), None)


def _save(path: Path, bare: float, runs: int, timings: Sequence[Timing]) -> None:
    ratios = {row.name: round(row.ratio, 3) for row in timings if row.ratio is not None}
    text = json.dumps({"bare_seconds": round(bare, 5), "runs": runs, "ratios": ratios}, indent=1)
    write_with_newline(path, text)
