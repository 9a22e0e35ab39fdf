"""Lightning's trainer, set up for one run and taken down again."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import Settings
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.callbacks import RunCallback, RunState
from ocrctl.training.checkpoints import AtomicCheckpointIO
from ocrctl.training.device import Accelerator
from ocrctl.training.distributed import ddp, joined_to, leave_signals_to_us, look_ahead
from ocrctl.training.loggers import extra_logger
from ocrctl.training.module import TrainingModule
from ocrctl.training.objectives import Objective
from ocrctl.training.optimizer import build_optimizer
from ocrctl.training.peers import Peers
from ocrctl.training.processes import ProcessInfo
from ocrctl.training.quarantine import Quarantine
from ocrctl.training.restore import check_training_state
from ocrctl.training.schedule import Progress
from ocrctl.training.signals import REPEATED, SignalWatch, StopRequested
from ocrctl.training.validation import Validation
from ocrctl.training.watchdog import Watchdog
from ocrctl.training.watched import WatchdogCallback, WatchedValidation

Report = Callable[[str], None]


@dataclass
class RunOutcome:
    """How a run ended: its counters, seconds of training over all sittings, and the signal that ended it, if one
    did."""

    state: RunState
    steps: int
    seconds: float
    signal: int | None


def run_trainer(
    settings: Settings,
    model: OCRModel,
    card: ModelCard,
    objective: Objective,
    loader: Any,
    validation: Validation,
    quarantine: Quarantine,
    accelerator: Accelerator,
    run: Path,
    report: Report,
    *,
    progress: Progress,
    checkpoint: Path | None,
    on_step: Callable[[int, int | None], None],
    process: ProcessInfo | None = None,
) -> RunOutcome:
    """Train until the run's length, early stopping or a signal; last.ckpt and best.ckpt are in `run` when it returns.

    `process`: this one of several that train together; `run`, `report` and `on_step` are those of the first. Raises
    ResumableStop (non-finite loss, full disk, a lost process), InputError (an image that cannot be read), RuntimeError.
    """
    train = settings.train
    process = process or ProcessInfo()
    peers = Peers(process.rank, process.world)
    progress.begin()
    watchdog = Watchdog(run, settings.watchdog, loader, report, rank=process.rank)
    watched: Any = WatchedValidation(validation, watchdog)  # otherwise as `validation`
    if process.world > 1:
        validation.divide(process.rank, process.world)
        loader = look_ahead(loader, train, peers)
    module = TrainingModule(model, card, objective, train, accelerator, progress, settings.seed, watched, peers)
    logger = extra_logger(settings, run, report, resumed=checkpoint is not None) if peers.first else None
    number, code = None, 1
    try:
        with SignalWatch(REPEATED if process.world > 1 else 0.0) as watch, watchdog:
            interval = _validation_interval(settings, progress.max_steps)
            callback = RunCallback(run, settings, watched, quarantine, watch, report, interval, logger, on_step, peers)
            callbacks = [callback, WatchdogCallback(watchdog, lambda: callback.run)]
            storage = AtomicCheckpointIO()
            trainer = _trainer(settings, accelerator, callbacks, storage, process)
            storage.check = lambda raw, path: check_training_state(
                raw, path, module, build_optimizer(model, train), trainer.fit_loop.state_dict()
            )
            try:
                with joined_to(peers, lambda: callback.watch_peers):
                    trainer.fit(module, loader, ckpt_path=str(checkpoint) if checkpoint else None, weights_only=True)
            except StopRequested as stop:
                number = stop.number
        code = 128 + number if number is not None else 0
    finally:
        if logger is not None:
            logger.finish(code)
    return RunOutcome(callback.state, trainer.global_step, progress.elapsed, number)


def _trainer(
    settings: Settings,
    accelerator: Accelerator,
    callbacks: list[pl.Callback],
    storage: AtomicCheckpointIO,
    process: ProcessInfo,
) -> pl.Trainer:
    train = settings.train
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)  # what it announces, the header says
    warnings.filterwarnings("ignore", module="lightning")  # advice on workers and loggers that settings already decide
    several: dict[str, Any] = {}
    if process.world > 1:
        several = {"strategy": ddp(train, accelerator, process), "num_nodes": process.nodes}
        several["sync_batchnorm"] = train.sync_batchnorm
    trainer = pl.Trainer(
        accelerator="gpu" if accelerator.device == "cuda" else "cpu",
        devices=process.devices,
        **several,
        precision="32-true",  # the module casts, scales and clips by itself
        max_epochs=-1,
        callbacks=callbacks,
        plugins=[storage],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        enable_autolog_hparams=False,
    )
    if process.world > 1:
        leave_signals_to_us(trainer)
    return trainer


def _validation_interval(settings: Settings, max_steps: int | None) -> int:
    """Optimiser steps between validations: as set, else a tenth of the run, at most 1000."""
    if settings.train.val_every_steps:
        return settings.train.val_every_steps
    return max(1, min(1000, max_steps // 10)) if max_steps else 1000
