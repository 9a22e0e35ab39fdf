"""Run the training loop: build model, loader and Lightning's trainer, resume, and return the result."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ocrctl.config.settings import Settings
from ocrctl.core.runs.folder import check_data, check_no_run, lock_run, remove_temporary_files, unlock
from ocrctl.core.train.header import run_header
from ocrctl.core.train.keep import base_identity, check_base, distilled, prepare_keep, write_base
from ocrctl.core.train.task import OnStep, Report, TrainingTask, TrainResult
from ocrctl.data.datasets.loader import training_loader
from ocrctl.data.datasets.share import Division
from ocrctl.errors import UsageError, counted
from ocrctl.models.build import build_model
from ocrctl.models.checkpoint import count_parameters
from ocrctl.models.freeze import freeze
from ocrctl.models.ocr_model import OCRModel, is_frozen
from ocrctl.runtime import model_threads, worker_processes
from ocrctl.training.device import Accelerator
from ocrctl.training.feature_cache import FeatureCache
from ocrctl.training.nonfinite_samples import read_excluded
from ocrctl.training.objectives import choose_objective
from ocrctl.training.processes import ProcessInfo
from ocrctl.training.restore import saved_position
from ocrctl.training.schedule import Progress


def fit(
    settings: Settings,
    task: TrainingTask,
    accelerator: Accelerator,
    make_folder: Callable[[Callable[[Path], None]], Path],
    report: Report,
    *,
    resume_from: Path | None,
    on_step: OnStep = lambda done, total: None,
    process: ProcessInfo | None = None,
) -> TrainResult:
    """Train until the maximum length, early stopping or a signal; raises as `core.train.run.train`.

    `make_folder` creates the run folder after all checks; its argument locks the folder before anything is written.
    `process`: this one of several that train together; the first alone locks and writes.
    """
    process = process or ProcessInfo()
    with ExitStack() as cleanup:
        resumes = resume_from is not None and resume_from.is_dir()
        if resume_from and resumes and process.first:
            cleanup.callback(unlock, lock_run(resume_from))  # before anything there is read

        def lock(folder: Path) -> None:
            if not resumes:
                cleanup.callback(unlock, lock_run(folder))
                check_no_run(folder, resume=resume_from is not None)  # another process may have started one

        return _run_training(
            settings, task, accelerator, lambda: make_folder(lock), report, resume_from, cleanup, on_step, process
        )


def _run_training(
    settings: Settings,
    task: TrainingTask,
    accelerator: Accelerator,
    make_folder: Callable[[], Path],
    report: Report,
    resume_from: Path | None,
    cleanup: ExitStack,
    on_step: OnStep,
    process: ProcessInfo,
) -> TrainResult:
    torch.set_num_threads(model_threads(settings.train.threads, process.devices))
    train = settings.train
    last = resume_from / "last.ckpt" if resume_from else None
    objective = choose_objective(task.card, train)
    point = _resume_point(last, task) if last and last.exists() else ResumePoint()
    start_step = point.step
    steps = _max_steps(settings, task)
    keep = prepare_keep(settings, task.spec, task.card, report)
    samples: Any = task.samples
    if keep:
        task.fingerprints.update(keep.fingerprints)
        samples = keep.mixed(task.samples)
    if resume_from and start_step:
        check_data(resume_from, task, report)
        if keep:
            check_base(resume_from, settings)
        over = (steps and start_step >= steps) or (train.max_minutes and point.elapsed >= 60 * train.max_minutes)
        if over and point.validated == start_step:  # else a signal came before the last validation
            return _finished(resume_from, start_step, point.elapsed, report)
    # The loader's processes start before Lightning is imported: they prepare samples during the import.
    excluded = read_excluded(resume_from) if resume_from and train.on_nonfinite == "skip" else frozenset()
    if excluded:
        report(f"excluded: {counted(len(excluded), 'sample')} whose loss was not finite")
    loader = training_loader(
        samples,
        batch_size=train.whole_batch, start=point.next_draw,
        workers=worker_processes(settings.data.workers, process.devices),
        division=Division(process.rank, process.world, train.rounds),
        start_method=settings.data.start_method, pin_memory=accelerator.device == "cuda",
        wanted=task.samples.exclude(excluded) if excluded else None,
    )  # fmt: skip
    cleanup.callback(loader.close)
    torch.manual_seed(settings.seed)
    model = build_model(task.card)
    if settings.model.pretrained and not start_step:
        from ocrctl.models.backbones.pretrained import load_pretrained

        backbone: Any = getattr(model.encoder, "backbone", model.encoder)
        name = task.card.model.get("backbone", task.spec.backbones[0])
        report(load_pretrained(backbone, name, settings.model.pretrained))
    if settings.model.init and not start_step:
        from ocrctl.core.train.initialise import initialise

        report(initialise(model, task.card, settings.model.init))
    if keep:
        objective = distilled(objective, settings, task.card)
    if train.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.norm_frozen = bool(settings.model.init) if train.freeze_norm is None else train.freeze_norm
    frozen = freeze(model, train.freeze)
    if caches_features(settings, task, model, accelerator.device):
        model.feature_cache = FeatureCache(model, task.samples.locate, train.cache_megabytes << 20)
        report("cache: features of the frozen encoder are kept in memory after the first epoch")
    if train.activation_checkpointing:
        model.recompute_activations()
    parameters = sum(p.numel() for p in model.parameters())
    base = base_identity(settings.model.init) if settings.model.init and not start_step else None
    run = make_folder()
    if process.first:
        if base is not None:
            write_base(run, base)
        remove_temporary_files(run)
    saved_schedule = point.schedule or {}
    progress = Progress(train, steps, point.elapsed, saved_schedule.get("warmup_steps"))
    if saved_schedule and saved_schedule["max_steps"] != steps:
        report(_length_changed(progress, start_step, saved_schedule))
    for line in run_header(settings, task, accelerator, parameters, frozen, progress, run, start_step):
        report(line)

    import_lightning()
    from ocrctl.training.quarantine import Quarantine
    from ocrctl.training.runner import run_trainer

    outcome = run_trainer(
        settings, model, task.card, objective, loader,
        task.validation(settings),
        Quarantine(
            run, samples.__getitems__, task.samples.locate, accelerator.precision, keep.stream.locate if keep else None
        ),
        accelerator, run, report, progress=progress, checkpoint=last if start_step else None,
        on_step=on_step, process=process,
    )  # fmt: skip
    state = outcome.state
    return TrainResult(
        run=run, arch=task.spec.name, parameters=parameters, steps=outcome.steps, seconds=outcome.seconds,
        best_accuracy=max(state.best, 0.0), best_step=state.best_step, last=state.last,
        stopped_by_signal=outcome.signal,
    )  # fmt: skip


def import_lightning() -> None:
    """Import Lightning without matplotlib, which torchmetrics would load where it is installed (font packages require
    it): a tenth of the time to the first step, for plots that nothing here draws."""
    if "torchmetrics" in sys.modules:
        return
    from lightning_utilities.core import imports

    original: Any = imports.RequirementCache

    class WithoutPlots(original):  # type: ignore[misc]
        def __init__(self, requirement: str | None = None, module: str | None = None) -> None:
            super().__init__(requirement, module)
            if requirement == "matplotlib":
                self.available, self.message = False, "matplotlib is not loaded while training"

    imports.RequirementCache = WithoutPlots  # type: ignore[misc]
    try:
        import lightning.pytorch
    finally:
        imports.RequirementCache = original  # type: ignore[misc]
    assert lightning.pytorch


class ResumePoint(NamedTuple):
    """Position to resume from: optimiser steps and seconds done, next sample number, step of the last validation, state
    of the schedule (None: no checkpoint, or one of an old version)."""

    step: int = 0
    elapsed: float = 0.0
    next_draw: int = 0
    validated: int = 0
    schedule: dict[str, Any] | None = None


def _length_changed(progress: Progress, step: int, saved: dict[str, Any]) -> str:
    """Describe what a new length changes in the schedule of a run at `step`."""
    new, old = (f"step {n}" if n else "train.max_minutes" for n in (progress.max_steps, saved["max_steps"]))
    kept = "" if saved["warmup_steps"] is None else f" the warm-up keeps its {saved['warmup_steps']} steps;"
    rate = progress.learning_rate(step)
    return f"resume: the schedule ends at {new} instead of {old};{kept} the next learning rate is {rate:.3g}"


def _resume_point(last: Path, task: TrainingTask) -> ResumePoint:
    """Read the position to resume from. Raises UsageError when the checkpoint has another architecture or charset."""
    from ocrctl.config.model_card import CARD_KEY
    from ocrctl.models.card import read_card
    from ocrctl.models.checkpoint import read_checkpoint
    from ocrctl.models.finite import refuse_not_finite
    from ocrctl.models.torch_file import weights_of

    raw = read_checkpoint(last)
    refuse_not_finite(weights_of(raw["state_dict"], f"{last}: state_dict"), last)
    card = read_card(raw[CARD_KEY], str(last))
    if card.arch != task.card.arch:
        raise UsageError(f"{last} holds {card.arch}, not {task.card.arch}: a run resumes with its own architecture.")
    if card.charset != task.card.charset:
        raise UsageError(
            f"{last} was trained with a charset of {len(card.charset)} characters, this one has "
            f"{len(task.card.charset)} (or another order): a run resumes with its own charset.",
            hint="start a new run from it with --from, which keeps what both charsets share",
        )
    position = saved_position(raw, last)
    return ResumePoint(
        position.global_step, position.elapsed, position.next_draw, position.validated,
        position.schedule.model_dump() if position.schedule else None,
    )  # fmt: skip


def caches_features(settings: Settings, task: TrainingTask, model: OCRModel, device: str) -> bool:
    """Return whether to cache the features of the encoder. Raises UsageError where `train.cache_features` requires it
    and a sample has no features of its own."""
    wanted, pages = settings.train.cache_features, task.spec.task == "detection"
    section = settings.page if pages else settings.data
    endless = not settings.data.train or any(name.startswith("synth:") for name in settings.data.train)
    checks = (
        ("train.freeze=encoder must freeze the whole encoder", is_frozen(model.encoder)),
        (f"{'page' if pages else 'data'}.augment must be 0", section.augment == 0),
        ("page.mosaic must be 0", not pages or settings.page.mosaic == 0),
        ("page.flip must be 0", not pages or settings.page.flip == 0),
        ("all data must be finite", not endless),
        ("train.device must be cpu", device == "cpu"),
        ("its output steps must follow the columns", not task.spec.keeps_aspect or bool(model.columns_per_step)),
    )
    reasons = [reason for reason, holds in checks if not holds]
    if wanted and reasons:
        raise UsageError(f"train.cache_features: {' and '.join(reasons)}.", hint="--set train.freeze=encoder")
    return wanted is not False and not reasons


def _finished(run: Path, steps: int, elapsed: float, report: Report) -> TrainResult:
    """Return the result of a run that already has its maximum length; nothing is trained or written."""
    from ocrctl.core.runs.show import goal_metric
    from ocrctl.models.checkpoint import load_checkpoint
    from ocrctl.training.metrics_rows import is_figure, read_rows

    report(f"{run} has reached its length ({steps} steps, {elapsed:.0f} s); --set train.max_steps=... makes it longer")
    card, weights = load_checkpoint(run / "last.ckpt")
    found = read_rows(run / "metrics.csv")
    if found.damage:
        report(f"{run / 'metrics.csv'}: {len(found.damage)} damaged lines; {found.damaged}")
    metric = goal_metric(found.rows)
    scored = [row for row in found.rows if row.get(metric)]
    best = max(scored, key=lambda row: (float(row[metric]), int(row["step"])), default=None)
    return TrainResult(
        run=run, arch=card.arch, parameters=count_parameters(weights), steps=steps, seconds=elapsed,
        best_accuracy=float(best[metric]) if best else 0.0, best_step=int(best["step"]) if best else 0,
        last={n: float(value) for row in found.rows[-2:] for n, value in row.items() if value and is_figure(n)},
    )  # fmt: skip


def _max_steps(settings: Settings, task: TrainingTask) -> int | None:
    """Return the length in optimiser steps, None when only train.max_minutes ends the run."""
    train = settings.train
    limits = [train.max_steps] if train.max_steps else []
    if train.max_epochs:
        if task.epoch_size is None:
            raise UsageError(
                "train.max_epochs: an endless stream has no epochs; use train.max_steps or train.max_minutes."
            )
        limits.append(max(1, round(train.max_epochs * task.epoch_size / train.samples_per_step)))
    if not limits and not train.max_minutes:
        limits.append(10_000)
    return min(limits) if limits else None
