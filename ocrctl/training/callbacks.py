"""Log rows, validation, checkpoints, early stopping and the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from ocrctl.config.settings import Settings
from ocrctl.errors import OcrctlError, ResumableStop
from ocrctl.escape import duration
from ocrctl.shell import shell_quote
from ocrctl.training.collapse import CollapseWatch
from ocrctl.training.distributed import timeout
from ocrctl.training.failures import can_resume
from ocrctl.training.loggers.base import ExtraLogger
from ocrctl.training.metrics_file import MetricsFile, Row
from ocrctl.training.module import TrainingModule
from ocrctl.training.peer_watch import PeerWatch, this_member
from ocrctl.training.peers import Peers, Word
from ocrctl.training.previews import write_sheet
from ocrctl.training.quarantine import Quarantine
from ocrctl.training.signals import SignalWatch, StopRequested
from ocrctl.training.validation import Validation


@dataclass
class RunState:
    """Best score and counters of a run; saved in its checkpoints, so that a resumed run continues counting."""

    best: float = -1.0
    best_step: int = 0
    stale: int = 0  # validations since the best one
    validated: int = 0  # step of the last whole validation
    skipped: int = 0  # steps skipped because of non-finite values
    last: Row = field(default_factory=dict)


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
        peers: Peers | None = None,
    ) -> None:
        """`interval`: optimiser steps between two validations; `progress` gets (steps done, steps of the run).

        `peers`: the processes that train together. All of them take every decision here at the same step; the first
        alone writes.
        """
        self.peers = peers or Peers()
        self.progress = progress
        self.run, self.settings, self.validation, self.quarantine = run, settings, validation, quarantine
        self.watch, self.report, self.interval, self.extra_logger = watch, report, interval, extra_logger
        self.state = RunState()
        self.collapse = CollapseWatch(run, settings, report)
        self.metrics: MetricsFile | None = None
        self._mark = (0, 0.0)
        self.watch_peers: PeerWatch | None = None
        self._warned: set[str] = set()

    @property
    def samples_per_step(self) -> int:
        """Return the effective batch size."""
        return self.settings.train.samples_per_step

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Open metrics.csv at the step of the run; run a validation that a signal prevented."""
        assert isinstance(module, TrainingModule)
        self.watch.listen()  # Lightning has put its own handler of SIGTERM before ours
        self._connect()
        module.prepare()
        word = Word(failed=self.peers.failure is not None, elapsed=module.progress.own_elapsed)
        if self._all(module, self.peers.agree_now(word)).failed:
            self.peers.end_with_failure()
        if self.peers.first:
            columns = (*self.validation.columns, *module.model.figure_names)
            self.metrics = MetricsFile(self.run / "metrics.csv", trainer.global_step, columns, self.report)
        self._mark = (trainer.global_step, module.progress.own_elapsed)
        step = trainer.global_step
        self.progress(step, module.progress.total_steps(step))
        over = step > 0 and module.progress.over(step)
        if self.state.validated < step and (step % self.interval == 0 or over):
            self._validate(trainer, module)
        if over:
            trainer.should_stop = True

    def _connect(self) -> None:
        """Connect the processes that train together, and watch them from now on."""
        peers = self.peers
        if peers.world == 1:
            return
        peers.connect(timeout(self.settings.train))
        self.run = Path(peers.of_first(str(self.run)))
        self.watch_peers = PeerWatch(peers.gather(this_member(peers.rank)), peers.rank, self.run)
        self.watch_peers.start()

    def _all(self, module: TrainingModule, word: Word) -> Word:
        """Return what holds in all processes, after setting their common clock: learning rates may follow it."""
        if self.peers.world > 1:
            module.progress.agree(word.elapsed)
        return word

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """End the run on a loader's error, after saving what was learned."""
        assert isinstance(module, TrainingModule)
        if isinstance(batch, OcrctlError):
            if trainer.global_step:
                self._save_whole(trainer, module)
            raise batch
        try:
            self.validation.check()
        except OcrctlError as error:
            if self.peers.world == 1:
                raise
            self.peers.failure = error

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log and validate at their steps, stop on a signal or at the end; do nothing between optimiser steps.

        All of it follows from the number of optimiser steps, which a checkpoint holds.
        """
        assert isinstance(module, TrainingModule)
        self.validation.read_ahead()  # after the first step, which it must not delay
        if module.within_step:
            return
        step = trainer.global_step
        word = Word(self.watch.number or 0, self.peers.failure is not None, elapsed=module.progress.own_elapsed)
        all_ = self._all(module, self.peers.agree(word))
        self.progress(step, module.progress.total_steps(step))
        done = module.progress.over(step)
        if step % self.settings.train.log_every_steps == 0 or done:
            self._log(trainer, module, step)
        if all_.failed:
            self._save_whole(trainer, module)
            self.peers.end_with_failure()
        self._stop_on_signal(trainer, module, all_.signal)
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
        """Save the state when a loader process dies or lacks a resource."""
        assert isinstance(module, TrainingModule)
        if self.peers.world > 1:
            return  # to save takes all processes; those that have stopped together have saved
        if can_resume(exception) and trainer.global_step and not module.within_step:
            self._save_whole(trainer, module)

    def _validate(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        """Validate, log, write previews, save best and last, stop early if set. A signal interrupts the validation: the
        resumed run repeats it."""
        step = trainer.global_step
        self._check_guard(trainer, module)
        if not module.validate(lambda: self.watch.number or 0):
            self._stop_on_signal(trainer, module, self.peers.agree_now(Word(self.watch.number or 0)).signal)
        scores = self.validation.score()
        self.state.validated = step
        self._write(module, step, scores.row)
        self.state.stale = 0 if scores.goal > self.state.best else self.state.stale + 1
        # Of equal ones the later: a small validation set ties often, and the first of them has learned least.
        better = scores.goal >= self.state.best
        if better:
            self.state.best, self.state.best_step = scores.goal, step
        self.report(f"step {step}: {scores.line}{' (best)' if better else ''}")
        self.collapse.check(step, scores.constant)
        count = self.settings.log.previews
        if count and self.peers.first:
            sheet = self.validation.sheet(count)
            write_sheet(self.run / "previews" / f"step-{step:07d}.png", sheet)
            if self.extra_logger:
                self.extra_logger.image(step, sheet)
        if better:
            trainer.save_checkpoint(self.run / "best.ckpt")
        trainer.save_checkpoint(self.run / "last.ckpt")
        self._mark = (step, module.progress.own_elapsed)
        patience = self.settings.train.early_stop
        if patience and self.state.stale >= patience:
            self.report(f"step {step}: no better accuracy in {patience} validations, stopping")
            trainer.should_stop = True

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write the rows to the disk first: no checkpoint may be ahead of them."""
        if self.metrics:
            self.metrics.sync()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for the checkpoint."""
        return {name: value for name, value in vars(self.state).items() if name != "last"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self.state = RunState(**state)

    def _log(self, trainer: pl.Trainer, module: TrainingModule, step: int) -> None:
        loss = self._check_guard(trainer, module)
        module.begin_mean()
        before, then = self._mark
        now = module.progress.own_elapsed
        rate = (step - before) * self.samples_per_step / max(1e-9, now - then)
        self._mark = (step, now)
        lr = trainer.optimizers[0].param_groups[0]["lr"] / trainer.optimizers[0].param_groups[0]["share"]
        row: Row = {"lr": lr, "loss": loss, "images_per_second": rate}
        if self.state.skipped:
            row["skipped"] = self.state.skipped
        row |= self._figures(module)
        self._write(module, step, row)
        share = module.progress.share(step)
        left = module.progress.seconds_left(step)
        self.report(f"step {step}: loss {loss:.4f}, lr {lr:.2g}, {rate:.0f} img/s, {share:.0%}, {duration(left)} left")

    def _figures(self, module: TrainingModule) -> Row:
        """Return the mean of each figure of the model over its parts; report what is wrong with them, each once."""
        values = {name: found.tolist() for name, found in module.figures.items()}
        module.figures = {}
        for sentence in module.model.figure_warnings(values):
            if sentence not in self._warned:
                self._warned.add(sentence)
                self.report(f"warning: {sentence}")
        return {name: sum(parts) / len(parts) for name, parts in values.items()}

    def _write(self, module: TrainingModule, step: int, row: Row) -> None:
        full: Row = {"step": step, "samples": step * self.samples_per_step, "seconds": module.progress.elapsed, **row}
        if self.metrics is not None:  # the first process alone writes
            self.metrics.add(full)
        self.state.last = {**self.state.last, **full}
        if self.extra_logger:
            self.extra_logger.row(full)

    def _stop_on_signal(self, trainer: pl.Trainer, module: TrainingModule, number: int) -> None:
        if number:
            self._check_guard(trainer, module)
            trainer.save_checkpoint(self.run / "last.ckpt")
            raise StopRequested(number)

    def _check_guard(self, trainer: pl.Trainer, module: TrainingModule) -> float:
        """Read the guard and return the mean loss since the last log row; quarantine non-finite steps.

        Raises ResumableStop if `train.on_nonfinite` is stop, or if weights are not finite: no checkpoint of such a
        model is ever written.
        """
        report = module.read_guard()
        first = trainer.global_step - report.steps
        broken = module.broken_weights()  # an update may break them although the loss was finite
        if report.bad and not broken and not module.guard_latched:
            self.state.skipped += len(report.bad)
            self._stop_beyond_limits(trainer.global_step, module, first + report.bad[0])
            for offset in report.bad:
                found = self.quarantine.take(module, first + offset, stops=False)
                self.report(f"step {first + offset} skipped: {found.sentence}; {found.folder}")
        elif report.bad or broken:
            step = first + (report.bad[0] if report.bad else report.steps)
            found = self.quarantine.take(module, step, broken)
            kept = self._keep_before(trainer, module, step, culprit=found.of_images)
            stop = ResumableStop(
                f"The loss or its gradients were not finite at step {step}: {found.sentence}; {kept}.",
                hint=f"inspect it: ocrctl diagnose replay {shell_quote(found.folder)}",
            )
            self.peers.end(stop)
        return report.loss

    def _stop_beyond_limits(self, step: int, module: TrainingModule, bad: int) -> None:
        """Raise ResumableStop once more steps were skipped than `train.max_skipped_share` and `max_skipped_steps`
        allow: a run that learns from only a part of its steps is no success. `bad` is the first one not yet
        reported."""
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
        stop = ResumableStop(
            f"{skipped} of {step} steps were skipped because the loss or its gradients were not finite, more than "
            f"{' and '.join(exceeded)} {'allows' if len(exceeded) == 1 else 'allow'}; "
            f"step {bad}: {found.sentence}; {_kept(last)}.",
            hint=f"inspect it: ocrctl diagnose replay {shell_quote(found.folder)}",
        )
        self.peers.end(stop)

    def _keep_before(self, trainer: pl.Trainer, module: TrainingModule, step: int, *, culprit: bool) -> str:
        """Save the guard's state before `step` as last.ckpt if single images are to blame; a diverged model must not
        replace an older one. Returns what a run can be resumed from."""
        last = self.run / "last.ckpt"
        if culprit and step > 1:
            with module.rewound_to(step - 1):
                trainer.save_checkpoint(last)
            return f"{last} holds the state before it"
        return _kept(last)

    def _save_whole(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        self._check_guard(trainer, module)
        trainer.save_checkpoint(self.run / "last.ckpt")


def _kept(last: Path) -> str:
    return f"{last} is from before" if last.exists() else "no checkpoint had been written yet"
