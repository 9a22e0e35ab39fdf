"""`ocrctl runs`: summarise and compare run folders from their files, without torch."""

from __future__ import annotations

import math
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrctl.config.settings import Settings
from ocrctl.config.suggest import near_path
from ocrctl.core.runs.folder import flat, read_saved_settings
from ocrctl.errors import InputError, OcrctlError, UsageError
from ocrctl.shell import shell_quote
from ocrctl.training.metrics_rows import read_rows

_BEFORE_STEP = 1 << 12  # bytes; epoch and global_step are the first keys that Lightning writes
BEST_METRICS = ("val_exact", "val_hmean")  # the first one present selects the best checkpoint


@dataclass(frozen=True)
class RunSummary:
    """One run: folder, architecture, last logged step, seconds trained, best and last validation score (None before the
    first): word accuracy of a recogniser, hmean of a detector. saved: step of last.ckpt, from which --resume continues
    (None: there is none, or it does not say). `problem` is why a run could not be read; the rest is then empty."""

    name: str
    path: Path
    arch: str
    steps: int
    seconds: float
    best: float | None
    last: float | None
    checkpoints: list[str]
    problem: str | None = None
    saved: int | None = None


def list_runs(folder: Path) -> list[RunSummary]:
    """Return the runs directly below `folder`, by name, without the link `last`. A run that cannot be read is listed
    with its problem. Raises InputError when there is no folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of runs.", hint="train one: ocrctl train -p quickstart")
    paths = [path for path in sorted(folder.iterdir()) if not path.is_symlink() and (path / "config.toml").exists()]
    return [_summary_or_problem(path) for path in paths]


def _summary_or_problem(run: Path) -> RunSummary:
    try:
        return summary(run)
    except OcrctlError as error:
        return RunSummary(run.name, run, "?", 0, 0.0, None, None, [], error.message)


def summary(run: Path) -> RunSummary:
    """Summarise one run folder. Raises as `load_run`."""
    config, rows = load_run(run)
    metric = goal_metric(rows)
    goals = [_number(run, row, metric) for row in rows if row.get(metric)]
    last = rows[-1] if rows else {}
    return RunSummary(
        run.name, run, str(config.get("arch", "?")), int(_number(run, last, "step")), _number(run, last, "seconds"),
        max(goals) if goals else None, goals[-1] if goals else None,
        [name for name in ("best.ckpt", "last.ckpt") if (run / name).exists()], saved=saved_step(run),
    )  # fmt: skip


def saved_step(run: Path) -> int | None:
    """Return the optimiser step of last.ckpt, read without torch; None when there is none or it is not readable.

    A checkpoint is a zip archive with a pickle, of which only the operations up to the step are read, and nothing run.
    """
    try:
        with zipfile.ZipFile(run / "last.ckpt") as archive:
            [name] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            with archive.open(name) as file:
                start = file.read(_BEFORE_STEP)
        key = False
        for operation, argument, _ in pickletools.genops(start):
            if key and isinstance(argument, int) and "PUT" not in operation.name:
                return argument
            key = argument == "global_step" or (key and "PUT" in operation.name)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return None
    return None


def goal_metric(rows: list[dict[str, str]]) -> str:
    """Return the column of metrics.csv that selects the best checkpoint of these rows."""
    return next((name for name in BEST_METRICS if any(row.get(name) for row in rows)), BEST_METRICS[0])


def _number(run: Path, row: dict[str, str], name: str) -> float:
    """Return a number of metrics.csv, 0 for an empty cell."""
    text = row.get(name) or "0"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{run / 'metrics.csv'}: expected a number under {name}, found {text[:40]!r}.")
    return value


def load_run(run: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Load the settings tree and the rows of metrics.csv of a run. Raises InputError when `run` is not a run folder or
    one of the two files is damaged."""
    config = run / "config.toml"
    if not config.exists():
        near = "" if run.is_dir() else near_path(run)
        raise InputError(f"{run}: not a run folder (it holds no config.toml).{near}", hint="ocrctl runs list")
    found = read_rows(run / "metrics.csv")
    if found.damage:
        raise InputError(
            f"{run / 'metrics.csv'}: {found.damaged}.",
            hint=f"ocrctl train --resume -o {shell_quote(run)} leaves damaged lines out and keeps a copy of them",
        )
    return read_saved_settings(config)[1], found.rows


def changed_settings(tree: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings of a run that differ from the defaults, by name: value and default (None where unset)."""
    defaults = flat(Settings.model_construct().tree())
    return {
        name: (value, defaults.get(name))
        for name, value in sorted(flat(tree).items())
        if repr(value) != repr(defaults.get(name))
    }


def compare_runs(runs: list[Path]) -> tuple[list[RunSummary], dict[str, list[Any]]]:
    """Return the summaries, and each setting that differs between the runs with its values (None where unset).

    Raises UsageError for fewer than two runs.
    """
    if len(runs) < 2:
        raise UsageError("runs compare requires at least two run folders.", hint="ocrctl runs list")
    trees = [flat(load_run(run)[0]) for run in runs]
    names = sorted({name for tree in trees for name in tree})
    different = {
        name: [tree.get(name) for tree in trees] for name in names if len({repr(t.get(name)) for t in trees}) > 1
    }
    return [summary(run) for run in runs], different
