"""`ocrctl diagnose loader`: check loader processes and measure the training stream of a dataset."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings
from ocrctl.core.train import detection, recognition
from ocrctl.core.train.data_errors import TrainingDataError
from ocrctl.core.train.run import with_changes
from ocrctl.core.train.task import TrainingTask
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats.spec import open_annotations
from ocrctl.diagnose.checks import Check, Diagnosis, count, skipped, with_examined
from ocrctl.diagnose.environment_probe import SystemEnvironment
from ocrctl.diagnose.loader import METHODS, PATIENCE, check_processes
from ocrctl.diagnose.loader_speed import EXAMINED, LoaderRun, check_speed, measured_numbers
from ocrctl.errors import InputError, UsageError
from ocrctl.models.registry import DEFAULT_ARCH, built_in_specs, spec_for
from ocrctl.runtime import available_cores, driver_gpu_count, worker_processes

MOST_WORKERS = 8  # loader processes that are measured, unless more are asked for


def diagnose_loader(
    settings: Settings,
    workers: int | None = None,
    patience: float = PATIENCE,
    *,
    arch: str | None = None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Diagnosis:
    """Check how each `data.train` of the settings is loaded, with up to `workers` processes (None: the cores).

    arch: the architecture that must take the data; without it, that of the settings if it does, else the first that
    does. on_step: called with the timed checks done and their number.

    Call it before anything touches CUDA. Raises UsageError (settings), InputError (unreadable data).
    """
    specs = settings.data.train or []
    most = min(MOST_WORKERS, available_cores()) if workers is None else workers
    total = len(specs) * (len(METHODS) + 2 + len(measured_numbers(most)))
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        on_step(done, total)

    on_step(0, total)
    rows: list[Check] = []
    for name in specs:
        rows += check_dataset(name, settings, most, patience, arch, advance)
    names = ", ".join(specs)
    return Diagnosis("loader", tuple(rows), f"Loader of {names}: {count(rows)}.")


def check_dataset(
    name: str, settings: Settings, most: int, patience: float, arch: str | None, on_check: Callable[[], None]
) -> list[Check]:
    """Check the loading of the dataset at SPEC `name` with up to `most` loader processes; `on_check` is called after
    each timed check."""
    data = open_annotations(name)
    if not data.images:
        raise InputError(f"{name}: contains no image.")
    environment = SystemEnvironment()
    rows = check_processes(
        data, environment.shared_memory(), environment.open_files(),
        batch=settings.train.batch_size, training_workers=worker_processes(settings.data.workers),
        workers=max(1, min(2, most)), patience=patience, on_check=on_check,
    )  # fmt: skip
    if any(row.status == "fail" for row in rows[:1]):
        return rows
    try:
        run = _run(name, settings, _spec(settings, data, arch))
    except TrainingDataError as error:
        return [
            *rows,
            *with_examined([skipped("loader throughput", f"nothing to train on: {error.message}")], EXAMINED),
        ]
    return [*rows, *check_speed(run, most, patience, cuda=driver_gpu_count() > 0, on_check=on_check)]


def _spec(settings: Settings, data: Annotations, arch: str | None) -> ModelSpec:
    """Return `arch`, the architecture of the settings, or the first that takes such data. Raises UsageError where
    `arch` does not."""
    task = "recognition" if data.words is not None else "detection"
    if (chosen := arch or settings.arch) is not None:
        spec = spec_for(chosen, settings.model)
        if spec.task == task:
            return spec
        if arch is not None:
            kind = "word images" if task == "recognition" else "pages"
            raise UsageError(
                f"{arch} cannot load {data.name}, which holds {kind}.", hint="leave --arch out, or: ocrctl model list"
            )
    if task == "recognition":
        return spec_for(DEFAULT_ARCH, settings.model)
    return next(spec for spec in built_in_specs().values() if spec.task == task)


def _run(name: str, settings: Settings, spec: ModelSpec) -> LoaderRun:
    """Open the training stream of `name`; samples that training refuses are left out: only speed matters here."""
    skip = {"train": [name], "val": name, "bad_labels": "skip", "bad_polygons": "skip", "unknown_chars": "skip",
            "weights": None}  # fmt: skip
    changed = with_changes(settings, data=settings.data.model_copy(update=skip))
    prepare: Callable[..., TrainingTask] = detection.prepare if spec.task == "detection" else recognition.prepare
    task = prepare(changed, spec, lambda line: None)
    method: str = settings.data.start_method
    if method == "auto":
        method = "fork" if sys.platform == "linux" else "spawn"
    size = task.epoch_size or 1
    batch = min(settings.train.batch_size, max(1, size // 2))
    strength = settings.page.augment if spec.task == "detection" else settings.data.augment
    return LoaderRun(task.samples, batch, settings.data.workers, method, strength > 0, task.epoch_size)
