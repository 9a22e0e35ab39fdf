"""What happens around the steps of a run: log rows, checkpoints, validation figures, the end."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import numpy as np
from numpy.typing import NDArray

from ocrctl.config.settings import Settings
from ocrctl.errors import OcrctlError, ResumableStop
from ocrctl.metrics.recognition import score
from ocrctl.training.module import RecognitionModule
from ocrctl.training.previews import preview_sheet, write_sheet
from ocrctl.training.signals import SignalWatch, StopRequested


class Validation(Protocol):
    """Where the validation samples are kept."""

    @property
    def kept(self) -> tuple[NDArray[np.uint8], list[str]]:
        """Pictures uint8 (N, H, W, C) and labels."""

    def read_ahead(self) -> None:
        """Start reading them, if that has not begun."""

    def check(self) -> None:
        """Raise what reading them ahead met."""


COLUMNS = (
    "step", "samples", "seconds", "lr", "loss", "val_exact", "val_str36", "val_cer", "val_empty", "images_per_second",
)  # fmt: skip
Row = dict[str, float]


@dataclass
class RunState:
    """What a run has to tell when it ends; saved in its checkpoints, so that a resumed run goes on counting."""

    best: float = -1.0
    best_step: int = 0
    stale: int = 0  # validations since the best one
    last: Row = field(default_factory=dict)


class MetricsFile:
    """metrics.csv: one row per log or validation, appended whole and flushed."""

    def __init__(self, path: Path, resume_step: int) -> None:
        """Rows past `resume_step` (written after the checkpoint that the run goes on from) are dropped."""
        self.path = path
        rows: list[dict[str, str]] = []
        if path.exists() and resume_step:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if int(float(row["step"] or 0)) <= resume_step]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def add(self, row: Row) -> None:
        """Append one row; missing columns stay empty."""
        text = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(text)


class RunCallback(pl.Callback):
    """Log rows, validation figures, best and last checkpoints, early stopping, and the run's end."""

    def __init__(
        self,
        run: Path,
        settings: Settings,
        validation: Validation,
        watch: SignalWatch,
        report: Callable[[str], None],
        extra_logger: Callable[[Row], None] | None = None,
    ) -> None:
        """`validation.kept`: pictures uint8 (N, H, W, C) and labels of the validation samples, in order."""
        self.run, self.settings, self.validation = run, settings, validation
        self.watch, self.report, self.extra_logger = watch, report, extra_logger
        self.state = RunState()
        self.metrics: MetricsFile | None = None
        self._mark = (0, 0.0)
        self._validated_step = -1

    @property
    def samples_per_step(self) -> int:
        """Effective batch."""
        train = self.settings.train
        return train.batch_size * train.accumulate * train.devices

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open metrics.csv where the run goes on."""
        assert isinstance(module, RecognitionModule)
        self.metrics = MetricsFile(self.run / "metrics.csv", trainer.global_step)
        self._mark = (trainer.global_step, module.progress.elapsed)

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """A loader's error ends the run: what was learned up to it is kept."""
        assert isinstance(module, RecognitionModule)
        if isinstance(batch, OcrctlError):
            if trainer.global_step and not module.broken():
                trainer.save_checkpoint(self.run / "last.ckpt")
            raise batch
        self.validation.check()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log at log time, stop on a signal or at the end; between optimiser steps do nothing."""
        assert isinstance(module, RecognitionModule)
        self.validation.read_ahead()  # after the first step: nothing stands in its way
        if (batch_idx + 1) % self.settings.train.accumulate:
            return
        step = trainer.global_step
        done = module.progress.share(step) >= 1.0
        if step % self.settings.train.log_every_steps == 0 or done:
            self._log(trainer, module, step)
        self._stop_on_signal(trainer, module)
        if done:
            trainer.should_stop = True

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """A signal need not wait for the whole validation."""
        assert isinstance(module, RecognitionModule)
        self._stop_on_signal(trainer, module)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Score, log, draw, save best and last, stop early where asked for."""
        assert isinstance(module, RecognitionModule)
        if trainer.sanity_checking or trainer.global_step == self._validated_step:
            return
        step = self._validated_step = trainer.global_step
        self._refuse_broken(trainer, module)
        texts = [text for text, _ in module.predictions]
        images, truths = self.validation.kept
        scores = score(truths, texts)
        accuracy, accuracy36 = scores.accuracy, score(truths, texts, "str36").accuracy
        row: Row = {
            "val_exact": accuracy, "val_str36": accuracy36, "val_cer": scores.cer, "val_empty": scores.empty_rate,
        }  # fmt: skip
        self._write(module, step, row)
        better = accuracy > self.state.best
        self.state.stale = 0 if better else self.state.stale + 1
        if better:
            self.state.best, self.state.best_step = accuracy, step
        self.report(
            f"step {step}: val exact {accuracy:.1%}, str36 {accuracy36:.1%}, CER {scores.cer:.3f}, "
            f"empty {scores.empty_rate:.1%}{' (best)' if better else ''}"
        )
        count = self.settings.log.previews
        if count:
            sheet = preview_sheet(images[:count], truths[:count], texts[:count])
            write_sheet(self.run / "previews" / f"step-{step:07d}.png", sheet)
        if better:
            trainer.save_checkpoint(self.run / "best.ckpt")
        trainer.save_checkpoint(self.run / "last.ckpt")
        self._mark = (step, module.progress.elapsed)
        patience = self.settings.train.early_stop
        if patience and self.state.stale >= patience:
            self.report(f"step {step}: no better accuracy in {patience} validations, stopping")
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"best": self.state.best, "best_step": self.state.best_step, "stale": self.state.stale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.state.best, self.state.best_step, self.state.stale = state["best"], state["best_step"], state["stale"]

    def _log(self, trainer: pl.Trainer, module: RecognitionModule, step: int) -> None:
        loss = module.read_loss()
        before, then = self._mark
        now = module.progress.elapsed
        rate = (step - before) * self.samples_per_step / max(1e-9, now - then)
        self._mark = (step, now)
        lr = trainer.optimizers[0].param_groups[0]["lr"]
        if not math.isfinite(loss):
            raise self._not_finite(step, lr)
        self._write(module, step, {"lr": lr, "loss": loss, "images_per_second": rate})
        share = module.progress.share(step)
        left = now / share - now if share > 0 else float("nan")
        self.report(f"step {step}: loss {loss:.4f}, lr {lr:.2g}, {rate:.0f} img/s, {share:.0%}, {_clock(left)} left")

    def _write(self, module: RecognitionModule, step: int, row: Row) -> None:
        assert self.metrics is not None
        full: Row = {"step": step, "samples": step * self.samples_per_step, "seconds": module.progress.elapsed, **row}
        self.metrics.add(full)
        self.state.last = {**self.state.last, **full}
        if self.extra_logger:
            self.extra_logger(full)

    def _stop_on_signal(self, trainer: pl.Trainer, module: RecognitionModule) -> None:
        if self.watch.number is not None:
            self._refuse_broken(trainer, module)
            trainer.save_checkpoint(self.run / "last.ckpt")
            raise StopRequested(self.watch.number)

    def _refuse_broken(self, trainer: pl.Trainer, module: RecognitionModule) -> None:
        """No checkpoint is ever written of a model whose loss or weights are not finite."""
        if module.broken():
            raise self._not_finite(trainer.global_step, trainer.optimizers[0].param_groups[0]["lr"])

    def _not_finite(self, step: int, lr: float) -> ResumableStop:
        last = self.run / "last.ckpt"
        kept = f"{last} is from before" if last.exists() else "no checkpoint had been written yet"
        return ResumableStop(
            f"The loss or the weights were no longer finite at step {step}; {kept}.",
            hint=f"lower the learning rate (it was {lr:.2g}) in a new run: "
            f"ocrctl train -p {self.run / 'config.toml'} --set train.lr=...",
        )


def _clock(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
