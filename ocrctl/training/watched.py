"""Tell the watchdog what the training loop does: a Lightning callback, and a validation that reports its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from ocrctl.training.validation import Scores, Validation
from ocrctl.training.watchdog import Watchdog


class WatchdogCallback(pl.Callback):
    """Note when a step and the wait for a batch begin. It follows the other callbacks, so that the log row, checkpoint
    and validation of a step belong to it."""

    def __init__(self, watchdog: Watchdog, run: Callable[[], Path]) -> None:
        """`run`: the run folder, which the first of several processes tells the others when they connect."""
        self._watchdog, self._run = watchdog, run

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Begin to wait for the first batch."""
        self._watchdog.run = self._run()
        self._watchdog.step = lambda: trainer.global_step
        self._watchdog.enter("loader")

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        """Begin a step."""
        self._watchdog.enter("step")

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Begin to wait for the next batch."""
        self._watchdog.enter("loader")

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """End the watch: no step follows."""
        self._watchdog.enter("idle")

    def on_exception(self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException) -> None:
        """End the watch: the state is being saved."""
        self._watchdog.enter("idle")


class WatchedValidation:
    """A validation whose batches have the limit of a step each; scoring and previews have none."""

    def __init__(self, validation: Validation, watchdog: Watchdog) -> None:
        self._validation, self._watchdog = validation, watchdog

    def __getattr__(self, name: str) -> Any:
        return getattr(self._validation, name)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        self._watchdog.enter("validation")
        for batch in self._validation:
            yield batch
            self._watchdog.enter("validation")

    def score(self) -> Scores:
        """Implement Validation."""
        self._watchdog.enter("idle")
        return self._validation.score()
