"""Log rows, validation, checkpoints, early stopping and the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from ocrctl.config.settings import Settings
from ocrctl.errors import OcrctlError, ResumableStop
from ocrctl.shell import shell_quote
from ocrctl.training.failures import can_resume
from ocrctl.training.loggers import ExtraLogger
from ocrctl.training.metrics_file import MetricsFile, Row
from ocrctl.training.module import TrainingModule
from ocrctl.training.previews import write_sheet
from ocrctl.training.quarantine import Quarantine
from ocrctl.training.run_state import RunState, clock
from ocrctl.training.signals import SignalWatch, StopRequested
from ocrctl.training.validation import Validation


class RunCallback(pl.Callback):
    """Log rows, validation figures, best and last checkpoints, early stopping, and the run's end."""

    def __init__(
        self,
        run: Path,
        settings: Settings,
        validation: Validation,
        quarantine: Quarantine,
        watch: SignalWatch,
        report: Callable[[str], None],
        interval: int,
        extra_logger: ExtraLogger | None = None,
        progress: Callable[[int, int | None], None] = lambda done, total: None,
    ) -> None:
        """`interval`: optimiser steps between two validations; `progress` gets (steps done, steps of the run)."""
        self.progress = progress
        self.run, self.settings, self.validation, self.quarantine = run, settings, validation, quarantine
        self.watch, self.report, self.interval, self.extra_logger = watch, report, interval, extra_logger
        self.state = RunState()
        self.metrics: MetricsFile | None = None
        self._mark = (0, 0.0)

    @property
    def samples_per_step(self) -> int:
        """Effective batch."""
        train = self.settings.train
        return train.batch_size * train.accumulate * train.devices

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open metrics.csv where the run goes on; make up for a validation that a signal came before."""
        assert isinstance(module, TrainingModule)
        self.watch.listen()  # Lightning has put its own handler of SIGTERM before ours
        module.prepare()
        columns = self.validation.columns
        self.metrics = MetricsFile(self.run / "metrics.csv", trainer.global_step, columns, self.report)
        self._mark = (trainer.global_step, module.progress.elapsed)
        step = trainer.global_step
        self.progress(step, module.progress.total_steps(step))
        over = step > 0 and module.progress.over(step)
        if self.state.validated < step and (step % self.interval == 0 or over):
            self._validate(trainer, module)
        if over:
            trainer.should_stop = True

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """A loader's error ends the run: what was learned up to it is kept."""
        assert isinstance(module, TrainingModule)
        if isinstance(batch, OcrctlError):
            if trainer.global_step:
                self._save_whole(trainer, module)
            raise batch
        self.validation.check()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log and validate when their steps have come, stop on a signal or at the end; between optimiser steps do
        nothing. All of it follows from the number of optimiser steps, which a checkpoint holds."""
        assert isinstance(module, TrainingModule)
        self.validation.read_ahead()  # after the first step: nothing stands in its way
        if module.within_step:
            return
        step = trainer.global_step
        self.progress(step, module.progress.total_steps(step))
        done = module.progress.over(step)
        if step % self.settings.train.log_every_steps == 0 or done:
            self._log(trainer, module, step)
        self._stop_on_signal(trainer, module)
        if step % self.interval == 0 or done:
            self._validate(trainer, module)
        if done:
            limit = module.progress.max_steps
            if limit is not None and step < limit:
                self.report(
                    f"step {step}: train.max_minutes are over, {limit - step} steps before the schedule's end; this "
                    "run is not reproducible"
                )
            trainer.should_stop = True

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """A loader process that dies or lacks something takes no step with it: the state is kept."""
        assert isinstance(module, TrainingModule)
        if can_resume(exception) and trainer.global_step and not module.within_step:
            self._save_whole(trainer, module)

    def _validate(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Score, log, draw, save best and last, stop early where asked for. A signal need not wait for the whole
        validation: the run that goes on makes up for it."""
        step = trainer.global_step
        self._look(trainer, module)
        if not module.validate(lambda: self.watch.number is not None):
            self._stop_on_signal(trainer, module)
        scores = self.validation.score()
        self.state.validated = step
        self._write(module, step, scores.row)
        better = scores.goal > self.state.best
        self.state.stale = 0 if better else self.state.stale + 1
        if better:
            self.state.best, self.state.best_step = scores.goal, step
        self.report(f"step {step}: {scores.line}{' (best)' if better else ''}")
        count = self.settings.log.previews
        if count:
            sheet = self.validation.sheet(count)
            write_sheet(self.run / "previews" / f"step-{step:07d}.png", sheet)
            if self.extra_logger:
                self.extra_logger.image(step, sheet)
        if better:
            trainer.save_checkpoint(self.run / "best.ckpt")
        trainer.save_checkpoint(self.run / "last.ckpt")
        self._mark = (step, module.progress.elapsed)
        patience = self.settings.train.early_stop
        if patience and self.state.stale >= patience:
            self.report(f"step {step}: no better accuracy in {patience} validations, stopping")
            trainer.should_stop = True

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """No checkpoint may be ahead of the rows on the disk."""
        if self.metrics:
            self.metrics.sync()

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {name: value for name, value in vars(self.state).items() if name != "last"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.state = RunState(**state)

    def _log(self, trainer: pl.Trainer, module: TrainingModule, step: int) -> None:
        loss = self._look(trainer, module)
        module.begin_mean()
        before, then = self._mark
        now = module.progress.elapsed
        rate = (step - before) * self.samples_per_step / max(1e-9, now - then)
        self._mark = (step, now)
        lr = trainer.optimizers[0].param_groups[0]["lr"] / trainer.optimizers[0].param_groups[0]["share"]
        row: Row = {"lr": lr, "loss": loss, "images_per_second": rate}
        if self.state.skipped:
            row["skipped"] = self.state.skipped
        self._write(module, step, row)
        share = module.progress.share(step)
        left = module.progress.seconds_left(step)
        self.report(f"step {step}: loss {loss:.4f}, lr {lr:.2g}, {rate:.0f} img/s, {share:.0%}, {clock(left)} left")

    def _write(self, module: TrainingModule, step: int, row: Row) -> None:
        assert self.metrics is not None
        full: Row = {"step": step, "samples": step * self.samples_per_step, "seconds": module.progress.elapsed, **row}
        self.metrics.add(full)
        self.state.last = {**self.state.last, **full}
        if self.extra_logger:
            self.extra_logger.row(full)

    def _stop_on_signal(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        if self.watch.number is not None:
            self._look(trainer, module)
            trainer.save_checkpoint(self.run / "last.ckpt")
            raise StopRequested(self.watch.number)

    def _look(self, trainer: pl.Trainer, module: TrainingModule) -> float:
        """Read the guard: mean loss since the last row of the log. Bad steps go into quarantine.

        Raises ResumableStop where `train.on_nonfinite` is stop, or where the weights themselves are broken: no
        checkpoint is ever written of a model that is not finite.
        """
        report = module.read_guard()
        first = trainer.global_step - report.steps
        broken = module.broken_weights()  # an update may break them under a loss that still was finite
        if report.bad and not broken and not module.guard_latched:
            self.state.skipped += len(report.bad)
            self._stop_beyond_limits(trainer.global_step, module, first + report.bad[0])
            for place in report.bad:
                found = self.quarantine.take(module, first + place, stops=False)
                self.report(f"step {first + place} left out: {found.sentence}; {found.folder}")
        elif report.bad or broken:
            step = first + (report.bad[0] if report.bad else report.steps)
            found = self.quarantine.take(module, step, broken)
            kept = self._keep_before(trainer, module, step, culprit=bool(found.samples))
            raise ResumableStop(
                f"The loss or its gradients were not finite at step {step}: {found.sentence}; {kept}.",
                hint=f"inspect it: ocrctl diagnose replay {shell_quote(found.folder)}",
            )
        return report.loss

    def _stop_beyond_limits(self, step: int, module: TrainingModule, bad: int) -> None:
        """Raise ResumableStop once more steps were left out than `train.max_skipped_share` and `max_skipped_steps`
        allow: a run that learns from a part of its steps only is no success. `bad` is the first one not yet told."""
        share, number = self.settings.train.max_skipped_share, self.settings.train.max_skipped_steps
        skipped = self.state.skipped
        limits = {
            f"train.max_skipped_share={share:g}": skipped > max(1, share * step),
            f"train.max_skipped_steps={number}": skipped > number,
        }
        exceeded = [limit for limit, over in limits.items() if over]
        if not exceeded:
            return
        found = self.quarantine.take(module, bad)
        last = self.run / "last.ckpt"
        raise ResumableStop(
            f"{skipped} of {step} steps were left out because the loss or its gradients were not finite, more than "
            f"{' and '.join(exceeded)} {'allows' if len(exceeded) == 1 else 'allow'}; "
            f"step {bad}: {found.sentence}; {_kept(last)}.",
            hint=f"inspect it: ocrctl diagnose replay {shell_quote(found.folder)}",
        )

    def _keep_before(self, trainer: pl.Trainer, module: TrainingModule, step: int, *, culprit: bool) -> str:
        """Where single samples are to blame, save the state before `step`, which the guard has kept, as last.ckpt; a
        model that has run away is not put over an older one. Says what a run can go on from."""
        last = self.run / "last.ckpt"
        if culprit and step > 1:
            with module.rewound_to(step - 1):
                trainer.save_checkpoint(last)
            return f"{last} holds the state before it"
        return _kept(last)

    def _save_whole(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        self._look(trainer, module)
        trainer.save_checkpoint(self.run / "last.ckpt")


def _kept(last: Path) -> str:
    return f"{last} is from before" if last.exists() else "no checkpoint had been written yet"
