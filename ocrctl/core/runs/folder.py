"""The run folder: create, lock and check it, save its settings, and merge settings on resume."""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import tomli_w

from ocrctl.config.load import settings_from_tree
from ocrctl.config.profiles import load_profile
from ocrctl.config.renamed import rename_settings
from ocrctl.config.settings import Section, Settings
from ocrctl.config.suggest import near_path
from ocrctl.errors import InputError, OcrctlError, UsageError
from ocrctl.files import atomic
from ocrctl.files.atomic import write_text
from ocrctl.files.durable import cannot_write
from ocrctl.files.lock import Lock, lock_folder, refuse_locked
from ocrctl.files.regular import read_regular
from ocrctl.shell import shell_quote
from ocrctl.text.charset import BUILTIN
from ocrctl.training.processes import divided_again

# Settings that may change on resume; others would be a new run.
CHANGEABLE = {
    "train.max_steps", "train.max_epochs", "train.max_minutes", "train.devices", "train.nodes", "train.device",
    "train.threads", "train.process_timeout",
    "train.val_every_steps", "train.early_stop", "train.collapse_steps", "train.log_every_steps", "data.workers",
    "data.start_method", "log.logger", "log.previews", "train.on_nonfinite", "train.max_skipped_share",
    "train.max_skipped_steps", "train.max_quarantined", "train.max_forgetting", "data.general",
    "train.mkldnn", "data.bad_polygons", "watchdog.step_seconds", "watchdog.loader_seconds", "watchdog.abort",
    "limits.unpack_ratio", "limits.unpack_free", "limits.zip_text_bytes",
}  # fmt: skip

TRAINING = "{name}: {owner} is training there."

# Settings that divide the samples of a step; they may change on resume where the samples do not.
PROCESSES = {"train.devices", "train.nodes"}
DIVISION = {"train.batch_size", "train.accumulate"}

# A folder with one of these files contains a run.
RUN_FILES = ("config.toml", "last.ckpt", "best.ckpt", "metrics.csv")
# In every config.toml since the first version: a file without one of these is damaged.
ALWAYS_SET = ("arch", "seed", "train", "data", "synth", "page", "model", "log")


class RunData(Protocol):
    """The part of the training data that a run folder records."""

    @property
    def held_out(self) -> list[str]:
        """Return one line for each sample held out for validation."""

    @property
    def fingerprints(self) -> dict[str, str]:
        """Return size and label checksum of each finite source, by name; a resumed run compares them."""


def check_no_run(out: Path | None, *, resume: bool) -> None:
    """Raise UsageError when `out` is a file, or contains a run and `resume` is False."""
    if out is None:
        return
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a run folder.")
    holds = next((name for name in RUN_FILES if (out / name).exists()), None)
    if holds and not resume:
        raise UsageError(
            f"{out} already holds a run ({holds}).",
            hint=f"resume it: ocrctl train --resume -o {shell_quote(out)}, or choose another -o",
        )


def prepare_run(
    out: Path | None,
    settings: Settings,
    data: RunData,
    lock: Callable[[Path], None],
    *,
    link_last: bool = True,
) -> Path:
    """Create the run folder, `lock` it, write config.toml, data.json and val_split.txt, and link runs/last to it.

    Without `link_last` (a trial) runs/last is unchanged. Raises ResumableStop when the disk is full, InputError when
    the folder cannot be written.
    """
    try:
        run = out or _new_folder(Path("runs") / f"{datetime.date.today().isoformat()}-{settings.arch or 'run'}")
        run.mkdir(parents=True, exist_ok=True)
        lock(run)
        if data.held_out:
            write_text(run / "val_split.txt", "".join(f"{line}\n" for line in data.held_out))
        write_text(run / "data.json", json.dumps(data.fingerprints, ensure_ascii=False, indent=1) + "\n")
        write_text(run / "config.toml", tomli_w.dumps(settings.tree()))
        if out is None and link_last:
            _point_last(run)
    except OSError as error:
        raise cannot_write(out or Path("runs"), error) from error
    return run


def check_data(run: Path, data: RunData, report: Callable[[str], None]) -> None:
    """Raise UsageError when the data differs from that of the run at `run`: other samples would be held out. Raises
    InputError when data.json is damaged; a missing one is reported."""
    path = run / "data.json"
    hint = f"if the data is unchanged, delete the file and resume: ocrctl train --resume -o {shell_quote(run)}"
    try:
        before = json.loads(read_regular(path))
    except FileNotFoundError:
        report(f"{path} is missing: cannot check that the data is unchanged")
        return
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({str(error)[:120]}).", hint=hint) from error
    if not isinstance(before, dict) or not all(isinstance(value, str) for value in before.values()):
        raise InputError(f"{path}: expected a JSON object of fingerprints by name.", hint=hint)
    for name, fingerprint in data.fingerprints.items():
        if before.get(name) != fingerprint:
            raise UsageError(
                f"{name} has changed since {run} began ({before.get(name, 'nothing')} then, {fingerprint} now): "
                "held-out samples would get into training.",
                hint=f"start a new run from it: ocrctl train -p {shell_quote(run / 'config.toml')} "
                f"--from {shell_quote(run)}",
            )


def absolute_paths(settings: Settings) -> Settings:
    """Return the settings with every existing path absolute, so that a run can be resumed from any folder."""

    names = {
        "fonts": {"system"},
        "keep": {"synth", "none"},
        "general": {"none"},
        "charset": {name for name in BUILTIN if not Path(name).is_file()},
    }

    def absolute(text: str, name: str = "") -> str:
        if text.startswith("synth:") or text in names.get(name, ()):  # even if such a path exists
            return text
        if Path(text).exists():
            return str(Path(text).absolute())
        prefix, colon, rest = text.partition(":")
        return f"{prefix}:{Path(rest).absolute()}" if colon and rest and Path(rest).exists() else text

    values = {name: getattr(settings, name) for name in Settings.model_fields}
    for section, name in (
        ("data", "val"),
        ("data", "keep"),
        ("data", "general"),
        ("data", "charset"),
        ("model", "init"),
        ("synth", "fonts"),
        ("synth", "backgrounds"),
    ):
        if text := getattr(values[section], name):
            values[section] = values[section].model_copy(update={name: absolute(text, name)})
    if specs := settings.data.train:
        values["data"] = values["data"].model_copy(update={"train": [absolute(spec) for spec in specs]})
    return Settings.model_construct(_fields_set=set(settings.model_fields_set), **values)


def resolved_init(init: str) -> str:
    """Return the file that the --from model `init` names now: runs/last names another run once a run starts.

    `default:NAME` is unchanged, and so is what is no model: the checks of the settings report it.
    """
    from ocrctl.inference.locate import locate

    if not Path(init).expanduser().exists():
        return init
    try:
        return str(locate(init).path.resolve())
    except OcrctlError:
        return init


def resume_settings(out: Path | None, requested: Settings, report: Callable[[str], None]) -> Settings:
    """Return the settings of the run at `out` with the requested changes. Raises UsageError for a setting that cannot
    change on resume."""
    if out is None:
        raise UsageError("--resume requires the run folder.", hint="ocrctl train --resume -o runs/last")
    config = out / "config.toml"
    if not config.exists():
        holds = next((name for name in RUN_FILES if (out / name).exists()), None)
        if holds:
            raise InputError(
                f"{out} holds {holds}, but no config.toml: its settings are lost.",
                hint=f"start a new run from its weights: ocrctl train -d DATA --from {shell_quote(out)} -o NEW",
            )
        if requested.data.train is None:  # a mistyped RUN must not become a run on synthetic data
            raise UsageError(
                f"--resume: {out} contains no run, and no data is given to start one."
                f"{'' if out.is_dir() else near_path(out)}",
                hint=f"correct -o, or give the data: ocrctl train --resume -o {shell_quote(out)} -d SPEC",
            )
        report(f"{out}: no run there yet, starting fresh")
        return requested
    saved, _ = read_saved_settings(config)
    before, now = flat(saved.tree()), flat(requested.tree())
    if saved.model.init and resolved_init(saved.model.init) == now.get("model.init"):
        now["model.init"] = saved.model.init
    changed = {name: now.get(name) for name in set_names(requested) if now.get(name) != before.get(name)}
    divides = _divides(before, {**before, **changed}, set(changed))
    fixed = sorted(set(changed) - CHANGEABLE - (DIVISION if divides else set()))
    if fixed:
        name = fixed[0]
        raise UsageError(
            f"{out}: {name} was {before.get(name)!r} and cannot become {changed[name]!r} on resume.",
            hint=f"start a new run from it: ocrctl train -p {shell_quote(config)} --from {shell_quote(out)} "
            f"--set {name}=...",
        )
    merged = settings_from_tree(nested({**before, **changed}), str(config))
    if divides:
        given = frozenset(name.partition(".")[2] for name in changed)
        divided = divided_again(merged.train, saved.train, given)
        changed |= {
            name: value
            for name, value in flat({"train": divided.model_dump(exclude_none=True)}).items()
            if value != before.get(name) and name != "train.global_batch"
        }
        merged = settings_from_tree(
            nested({**before, **changed, "train.global_batch": divided.whole_batch}), str(config)
        )
    for name in sorted(changed):
        report(f"resume: {name} = {changed[name]!r} (was {before.get(name)!r})")
    return merged


def _divides(before: dict[str, Any], now: dict[str, Any], changed: set[str]) -> bool:
    """Return whether a step is divided differently than before: among other processes, or into other batches of as many
    samples together."""
    if PROCESSES & changed:
        return True
    samples = [math.prod(int(names.get(name) or 1) for name in PROCESSES | DIVISION) for names in (before, now)]
    return bool(DIVISION & changed) and samples[0] == samples[1]


def read_saved_settings(config: Path) -> tuple[Settings, dict[str, Any]]:
    """Load the settings of a run, and the tree that its config.toml states, with the current names.

    Raises InputError for a damaged config.toml, whose lost settings would be defaults.
    """
    tree = load_profile(str(config))
    hint = f"restore it, or start a new run: ocrctl train -d DATA --from {shell_quote(config.parent)} -o NEW"
    lost = [name for name in ALWAYS_SET if name not in tree]
    if lost:
        raise InputError(f"{config}: damaged, it lacks {', '.join(lost)}.", hint=hint)
    try:
        tree = rename_settings(tree, str(config), warn=False)
        return settings_from_tree(tree, str(config)), tree
    except UsageError as error:  # not typed by the user
        message = error.message if str(config) in error.message else f"{config}: {error.message}"
        raise InputError(message, hint=hint) from error


def set_names(settings: Settings) -> set[str]:
    """Return the names of the settings that a layer set, without those at their defaults."""
    names: set[str] = set()
    for name in settings.model_fields_set:
        section = getattr(settings, name)
        names |= {f"{name}.{inner}" for inner in section.model_fields_set} if isinstance(section, Section) else {name}
    return names


def _new_folder(path: Path) -> Path:
    """Create `path`, or path-2, path-3 ... if it exists; safe for runs that start at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, candidate = 2, path
    while True:
        try:
            candidate.mkdir()
            return candidate
        except FileExistsError:
            candidate, number = path.with_name(f"{path.name}-{number}"), number + 1


def _point_last(run: Path) -> None:
    link = run.parent / "last"
    if link.is_symlink() or not link.exists():
        temporary = run.parent / f".last.{os.getpid()}.ocrctl-tmp"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(run.name)
        os.replace(temporary, link)


def remove_temporary_files(run: Path) -> None:
    """Remove the temporary files of a killed process in `run`. The caller holds the lock."""
    for folder in (run, run / "quarantine", *run.glob("quarantine/step-*")):
        atomic.remove_temporary_files(folder)


def unlock(lock: Lock | None) -> None:
    """Release the lock of `lock_run`."""
    if lock is not None:
        lock.release()


def check_not_running(out: Path | None) -> None:
    """Raise UsageError when another process trains in `out`; the lock that decides is taken later."""
    if out is not None:
        refuse_locked(out, TRAINING)


def lock_run(run: Path) -> Lock:
    """Lock `run` for training until this process ends; returns the lock for `unlock`.

    Raises UsageError naming the process that trains there, InputError when the folder cannot be written to.
    """
    return lock_folder(run, TRAINING)


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Convert {"train": {"lr": 1}} to {"train.lr": 1}."""
    result: dict[str, Any] = {}
    for key, value in tree.items():
        result.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return result


def nested(names: dict[str, Any]) -> dict[str, Any]:
    """Convert {"train.lr": 1} to {"train": {"lr": 1}}."""
    tree: dict[str, Any] = {}
    for dotted, value in names.items():
        *sections, last = dotted.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[last] = value
    return tree
