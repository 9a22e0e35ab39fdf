"""The run itself: model, loader and Lightning's trainer put together, and every way it can end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ocrctl.config.settings import Settings
from ocrctl.core.runs.folder import check_data, check_no_run
from ocrctl.core.runs.lock import lock_run, remove_temporary_files, unlock
from ocrctl.core.train.header import run_header
from ocrctl.core.train.result import TrainResult
from ocrctl.data.datasets.loader import training_loader
from ocrctl.errors import UsageError
from ocrctl.inference.devices import model_threads, worker_processes
from ocrctl.models.build import build_model
from ocrctl.models.checkpoint import count_parameters
from ocrctl.training.device import Placement
from ocrctl.training.import_lightning import import_lightning
from ocrctl.training.left_out import read_left_out
from ocrctl.training.objectives import choose_objective
from ocrctl.training.restore import saved_position
from ocrctl.training.schedule import Progress

if TYPE_CHECKING:
    from ocrctl.core.train.pages import PageData
    from ocrctl.core.train.words import TrainingData
    from ocrctl.training.validation import Validation

Report = Callable[[str], None]


def fit(
    settings: Settings,
    data: TrainingData | PageData,
    placement: Placement,
    make_folder: Callable[[Callable[[Path], None]], Path],
    report: Report,
    *,
    resume_from: Path | None,
) -> TrainResult:
    """Train until the run's length, early stopping or a signal; see core.train.train for what it raises.

    The run folder is made (`make_folder`) once everything that can be refused has been looked at, and claimed before
    anything is written there.
    """
    with ExitStack() as held:
        resumes = resume_from is not None and resume_from.is_dir()
        if resume_from and resumes:
            held.callback(unlock, lock_run(resume_from))  # before anything there is read

        def claim(folder: Path) -> None:
            if not resumes:
                held.callback(unlock, lock_run(folder))
                check_no_run(folder, resume=resume_from is not None)  # by another process, since it was first looked at

        return _fit(settings, data, placement, lambda: make_folder(claim), report, resume_from, held)


def _fit(
    settings: Settings,
    data: TrainingData | PageData,
    placement: Placement,
    make_folder: Callable[[], Path],
    report: Report,
    resume_from: Path | None,
    held: ExitStack,
) -> TrainResult:
    torch.set_num_threads(model_threads(settings.train.threads))
    train = settings.train
    last = resume_from / "last.ckpt" if resume_from else None
    objective = choose_objective(data.card, train)
    point = _resume_point(last, data) if last and last.exists() else ResumePoint()
    start_step = point.step
    steps = _steps(settings, data)
    if resume_from and start_step:
        check_data(resume_from, data, report)
        over = (steps and start_step >= steps) or (train.max_minutes and point.elapsed >= 60 * train.max_minutes)
        if over and point.validated == start_step:  # a signal may have come before the last validation
            return _finished(resume_from, start_step, point.elapsed, report)
    # The loader's processes start before Lightning is imported: they render and decode while this one imports.
    left_out = read_left_out(resume_from) if resume_from and train.on_nonfinite == "skip" else frozenset()
    if left_out:
        report(f"left out: {len(left_out)} samples whose loss was not finite")
    loader = training_loader(
        data.words, batch_size=train.batch_size, start=point.next_draw, workers=worker_processes(settings.data.workers),
        start_method=settings.data.start_method, pin_memory=placement.device == "cuda",
        wanted=(lambda n: data.words.place(n)[0] not in left_out) if left_out else None,
    )  # fmt: skip
    held.callback(loader.close)
    torch.manual_seed(settings.seed)
    model = build_model(data.card)
    if settings.model.pretrained and not start_step:
        from ocrctl.models.backbones.pretrained import load_pretrained

        report(load_pretrained(model.encoder, data.card.model["backbone"], settings.model.pretrained))  # type: ignore[arg-type]
    if settings.model.init and not start_step:
        from ocrctl.core.train.initialise import initialise

        report(initialise(model, data, settings.model.init))
    if train.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.norm_frozen = train.freeze_norm
    if train.activation_checkpointing:
        model.recompute_activations()
    parameters = sum(p.numel() for p in model.parameters())
    run = make_folder()
    remove_temporary_files(run)
    decided = point.schedule or {}
    progress = Progress(train, steps, point.elapsed, decided.get("warmup_steps"))
    if decided and decided["max_steps"] != steps:
        report(_length_changed(progress, start_step, decided))
    for line in run_header(settings, data, placement, parameters, progress, run, start_step):
        report(line)

    import_lightning()
    from ocrctl.training.quarantine import Quarantine
    from ocrctl.training.runner import run_trainer

    outcome = run_trainer(
        settings, model, data.card, objective, loader,
        _validation(settings, data),
        Quarantine(run, data.words.__getitems__, data.words.place, placement.precision),
        placement, run, report, progress=progress, checkpoint=last if start_step else None,
    )  # fmt: skip
    state = outcome.state
    return TrainResult(
        run=run, arch=data.spec.name, parameters=parameters, steps=outcome.steps, seconds=outcome.seconds,
        best_accuracy=max(state.best, 0.0), best_step=state.best_step, last=state.last,
        stopped_by_signal=outcome.signal,
    )  # fmt: skip


def _validation(settings: Settings, data: TrainingData | PageData) -> Validation:
    """What validates a model of the data's task."""
    if data.card.task == "detection":
        from ocrctl.training.page_validation import PageValidation

        return PageValidation(data.val, data.card, settings.page.side)  # type: ignore[arg-type]
    from ocrctl.training.validation import WordValidation

    return WordValidation(data.validation_arrays, data.tokenizer, settings.train.batch_size)  # type: ignore[union-attr]


class ResumePoint(NamedTuple):
    """Where a run goes on: optimiser steps and seconds done, the next draw number, the step of the last validation, and
    the schedule's state (None: no checkpoint, or an old one)."""

    step: int = 0
    elapsed: float = 0.0
    next_draw: int = 0
    validated: int = 0
    schedule: dict[str, Any] | None = None


def _length_changed(progress: Progress, step: int, decided: dict[str, Any]) -> str:
    """What a new length changes in the schedule of a run at `step`, and what it keeps."""
    new, old = (f"step {n}" if n else "train.max_minutes" for n in (progress.max_steps, decided["max_steps"]))
    kept = "" if decided["warmup_steps"] is None else f" the warm-up keeps its {decided['warmup_steps']} steps;"
    rate = progress.learning_rate(step)
    return f"resume: the schedule ends at {new} instead of {old};{kept} the next learning rate is {rate:.3g}"


def _resume_point(last: Path, data: TrainingData | PageData) -> ResumePoint:
    """Where the run of `last` goes on. Raises UsageError when the checkpoint is of another model or charset."""
    from ocrctl.config.model_card import CARD_KEY
    from ocrctl.models.card import read_card
    from ocrctl.models.checkpoint import read_checkpoint, weights_of
    from ocrctl.models.finite import refuse_not_finite

    raw = read_checkpoint(last)
    refuse_not_finite(weights_of(raw["state_dict"], f"{last}: state_dict"), last)
    card = read_card(raw[CARD_KEY], str(last))
    if card.arch != data.card.arch:
        raise UsageError(f"{last} holds {card.arch}, not {data.card.arch}: a run goes on with its own architecture.")
    if card.charset != data.card.charset:
        raise UsageError(
            f"{last} was trained with a charset of {len(card.charset)} characters, this one has "
            f"{len(data.card.charset)} (or another order): a run goes on with its own charset.",
            hint="start a new run from it with --from, which keeps what both charsets share",
        )
    position = saved_position(raw, last)
    return ResumePoint(
        position.global_step, position.elapsed, position.next_draw, position.validated,
        position.schedule.model_dump() if position.schedule else None,
    )  # fmt: skip


def _finished(run: Path, steps: int, elapsed: float, report: Report) -> TrainResult:
    """The result of a run that had reached its length already: nothing is trained, nothing written."""
    from ocrctl.core.runs.show import GOALS
    from ocrctl.models.checkpoint import load_checkpoint
    from ocrctl.training.metrics_rows import is_figure, read_rows

    report(f"{run} has reached its length ({steps} steps, {elapsed:.0f} s); --set train.max_steps=... makes it longer")
    card, weights = load_checkpoint(run / "last.ckpt")
    found = read_rows(run / "metrics.csv")
    if found.damage:
        report(f"{run / 'metrics.csv'}: {len(found.damage)} damaged lines; {found.damaged}")
    goal = next((name for name in GOALS if any(row.get(name) for row in found.rows)), GOALS[0])
    best = max((row for row in found.rows if row.get(goal)), key=lambda row: float(row[goal]), default=None)
    return TrainResult(
        run=run, arch=card.arch, parameters=count_parameters(weights), steps=steps, seconds=elapsed,
        best_accuracy=float(best[goal]) if best else 0.0, best_step=int(best["step"]) if best else 0,
        last={n: float(value) for row in found.rows[-2:] for n, value in row.items() if value and is_figure(n)},
    )  # fmt: skip


def _steps(settings: Settings, data: TrainingData | PageData) -> int | None:
    """Length in optimiser steps, None when only the clock ends the run."""
    train = settings.train
    limits = [train.max_steps] if train.max_steps else []
    if train.max_epochs:
        if data.epoch_size is None:
            raise UsageError(
                "train.max_epochs: an endless stream has no epochs; use train.max_steps or train.max_minutes."
            )
        per_step = train.batch_size * train.accumulate * train.devices
        limits.append(max(1, round(train.max_epochs * data.epoch_size / per_step)))
    if not limits and not train.max_minutes:
        limits.append(10_000)
    return min(limits) if limits else None
