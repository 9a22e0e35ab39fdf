"""Lightning's trainer, set up for one run and taken down again."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import Settings
from ocrctl.models.ocr_model import OCRModel
from ocrctl.text.tokenizer import Tokenizer
from ocrctl.training.callbacks import RunCallback, RunState
from ocrctl.training.checkpoints import AtomicCheckpointIO
from ocrctl.training.device import Placement
from ocrctl.training.loggers import extra_logger
from ocrctl.training.module import RecognitionModule
from ocrctl.training.schedule import Progress
from ocrctl.training.signals import SignalWatch, StopRequested

Report = Callable[[str], None]


class ValidationBatches:
    """The validation samples, decoded and resized once, beside the first steps, and kept (32x128 grey: 4 KiB each)."""

    def __init__(self, read: Callable[[], tuple[NDArray[np.uint8], list[str]]], batch_size: int) -> None:
        """`read` gives images uint8 (N, H, W, C) and labels."""
        self._read, self._batch_size = read, batch_size
        self._ahead: Future[tuple[NDArray[np.uint8], list[str]]] = Future()
        self._started = False

    def read_ahead(self) -> None:
        """Start reading in a thread, once, so that a picture that cannot be read ends the run at its first steps."""
        if not self._started:
            self._started = True
            Thread(target=self._fill, name="validation", daemon=True).start()

    def check(self) -> None:
        """Raise what the thread met."""
        if self._ahead.done() and (error := self._ahead.exception()):
            raise error

    def _fill(self) -> None:
        try:
            self._ahead.set_result(self._read())
        except BaseException as error:
            self._ahead.set_exception(error)

    @property
    def kept(self) -> tuple[NDArray[np.uint8], list[str]]:
        """Images and labels; waits for the thread."""
        self.read_ahead()
        return self._ahead.result()

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        images = self.kept[0]
        for start in range(0, len(images), self._batch_size):
            yield {"images": torch.from_numpy(images[start : start + self._batch_size]).permute(0, 3, 1, 2)}


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
    tokenizer: Tokenizer,
    loader: Any,
    validation: ValidationBatches,
    placement: Placement,
    run: Path,
    report: Report,
    *,
    max_steps: int | None,
    elapsed: float,
    checkpoint: Path | None,
) -> RunOutcome:
    """Train until the run's length, early stopping or a signal; last.ckpt and best.ckpt are in `run` when it returns.

    Raises ResumableStop (non-finite loss, full disk), InputError (an image that cannot be read), RuntimeError.
    """
    train = settings.train
    progress = Progress(max_steps, train.max_minutes, elapsed)
    module = RecognitionModule(model, card, tokenizer, train, progress, settings.seed)
    with SignalWatch() as watch:
        callback = RunCallback(
            run,
            settings,
            validation,
            watch,
            report,
            extra_logger(settings, run) if settings.log.logger != "none" else None,
        )
        trainer = _trainer(settings, placement, callback, _validation_interval(settings, max_steps))
        number: int | None = None
        try:
            trainer.fit(
                module, loader, validation, ckpt_path=str(checkpoint) if checkpoint else None, weights_only=True
            )
        except StopRequested as stop:
            number = stop.number
    return RunOutcome(callback.state, trainer.global_step, progress.elapsed, number)


def _trainer(settings: Settings, placement: Placement, callback: pl.Callback, interval: int) -> pl.Trainer:
    train = settings.train
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)  # what it announces, the header says
    warnings.filterwarnings("ignore", module="lightning")  # advice on workers and loggers that settings already decide
    return pl.Trainer(
        accelerator="gpu" if placement.device == "cuda" else "cpu",
        devices=train.devices,
        precision=placement.precision,  # type: ignore[arg-type]
        max_epochs=-1,
        accumulate_grad_batches=train.accumulate,
        gradient_clip_val=train.clip_norm or None,
        val_check_interval=interval * train.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[callback],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        enable_autolog_hparams=False,
    )


def _validation_interval(settings: Settings, max_steps: int | None) -> int:
    """Optimiser steps between validations: as set, else a tenth of the run, at most 1000."""
    if settings.train.val_every_steps:
        return settings.train.val_every_steps
    return max(1, min(1000, max_steps // 10)) if max_steps else 1000
