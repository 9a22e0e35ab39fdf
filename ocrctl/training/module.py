"""The Lightning module: forward, backward and update of one training step, without host synchronisation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.models.finite import names_not_finite
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.plugins import guarded
from ocrctl.models.registry import family_of
from ocrctl.training.device import DTYPES, Accelerator
from ocrctl.training.ema import WeightAverage
from ocrctl.training.feature_cache import FeatureCache
from ocrctl.training.guard import GuardReport, LossScale, Statistics, StepGuard
from ocrctl.training.objectives import Objective, to_device
from ocrctl.training.optimizer import build_optimizer, clip
from ocrctl.training.peers import Peers, Word
from ocrctl.training.schedule import Progress
from ocrctl.training.validation import Validation


class TrainingModule(pl.LightningModule):
    """Train one model with `objective` and validate it with `validation`.

    Optimisation is manual: Lightning's automatic optimisation synchronises at each float16 step and cannot clip for
    fused optimisers. `recent` holds the draw numbers of the steps since the guard was read. `peers`: the processes
    that train together; losses, gradients and running statistics are averaged, so that all of them take the same steps.
    """

    def __init__(
        self,
        model: OCRModel,
        card: ModelCard,
        objective: Objective,
        train: TrainSettings,
        accelerator: Accelerator,
        progress: Progress,
        seed: int,
        validation: Validation,
        peers: Peers | None = None,
    ) -> None:
        super().__init__()
        self.peers = peers or Peers()
        self.automatic_optimization = False
        self.model = model
        cache = model.feature_cache
        self.feature_cache = cache if isinstance(cache, FeatureCache) else None
        self.card = card
        self.objective = objective
        self.train_settings = train
        self.validation = validation
        self.dtype_mixed = DTYPES.get(accelerator.precision)
        self.progress = progress
        self.seed = seed
        self.recent: deque[tuple[int, list[Tensor]]] = deque(maxlen=train.log_every_steps)
        self.guard: StepGuard | None = None
        self.scale: LossScale | None = None
        self.average: WeightAverage | None = None
        self._restored: dict[str, Any] = {}
        self.figures: dict[str, Tensor] = {}
        self._micro = 0
        self._averages_statistics = False
        self._loss: Tensor | None = None
        self._ids: list[Tensor] = []
        self._wound_back: int | None = None
        self.next_draw = 0  # draw number after the last one that was trained on

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Create the optimiser (training.optimizer.build_optimizer)."""
        return build_optimizer(self.model, self.train_settings)

    def prepare(self) -> None:
        """Create the guard, the loss scale and the weight average on the device of the model."""
        self.model.train()  # keeps frozen normalisation in evaluation mode
        train = self.train_settings
        self.statistics = Statistics(self.model)
        self._averages_statistics = self.peers.world > 1 and any(
            isinstance(part, _BatchNorm) and part.training for part in self.model.modules()
        )
        self.guard = StepGuard(self.device, train.log_every_steps, latch=train.on_nonfinite == "stop")
        self.guard.begin_mean(*self._restored.get("loss_mean", ()))
        if self.dtype_mixed is torch.float16:
            self.scale = LossScale(self.device, *self._restored.get("loss_scale", ()))
        if train.ema:
            self.average = WeightAverage(self.model, train.ema)
            if "ema" in self._restored:
                self.average.load(self._restored["ema"])
        self._restored = {}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set learning rate and random seed, both functions of the step only."""
        self._exchange_gradients(last=self._micro + 1 == self.train_settings.accumulate)
        if self._micro:
            return
        rate = self.progress.learning_rate(self.global_step)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["share"]
        seed = step_seed(self.seed, self.global_step)
        torch.manual_seed(seed)
        if self.peers.rank and self.device.type == "cuda":
            torch.cuda.manual_seed(seed + (self.peers.rank << 48))  # dropout; the CPU's state draws what all share
        if self.model.figure_names:
            self.model.watch((self.global_step + 1) % self.train_settings.log_every_steps == 0)
        self.statistics.keep()

    def _exchange_gradients(self, *, last: bool) -> None:
        """Let only the last backward pass of a step average the gradients of the processes."""
        wrapped = self.trainer.strategy.model
        if isinstance(wrapped, DistributedDataParallel):
            wrapped.require_backward_grad_sync = last

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Run forward and backward; update after the last batch of a step."""
        accumulate = self.train_settings.accumulate
        if self.feature_cache is not None:
            self.feature_cache.begin(batch["ids"].tolist())
        with self.autocast(), self.peers.whole_batch():
            loss = self.objective(self.model, batch) / accumulate
        self.manual_backward(loss * self.scale.scale if self.scale else loss)
        value = loss.detach().float()
        self._loss = value if self._loss is None else self._loss + value
        self._ids.append(batch["ids"])
        self._micro += 1
        if self._micro == accumulate:
            self._update()

    def autocast(self) -> Any:
        """Return the autocast context of forward passes."""
        return torch.autocast(self.device.type, self.dtype_mixed, enabled=self.dtype_mixed is not None)

    def _update(self) -> None:
        assert self.guard is not None and self._loss is not None
        scale = self.scale
        self.peers.mean(self._loss)
        if self.model.figure_names and (found := self.model.figures()):
            self.figures = found  # of the step that is logged next
        norm = clip(list(self.model.parameters()), self.train_settings.clip_norm, scale.scale if scale else None)
        held = self.guard.record(self._loss, norm, scale.allows_overflow() if scale else None)
        if scale:
            scale.update(norm)
        optimizer = self.optimizers()
        optimizer.optimizer.found_inf = held  # type: ignore[union-attr]
        self.recent.append((self.global_step + 1, self._ids))
        optimizer.step()  # type: ignore[union-attr]
        optimizer.zero_grad(set_to_none=True)  # type: ignore[union-attr]
        if self._averages_statistics and self.statistics.flat is not None:
            self.peers.mean(self.statistics.flat)
        self.statistics.restore_where(held)
        if self.average is not None:
            self.average.update(self.model, self.global_step, held)
        self._micro, self._loss, self._ids = 0, None, []

    @property
    def within_step(self) -> bool:
        """Return whether an accumulated step is in progress."""
        return self._micro > 0

    @property
    def guard_latched(self) -> bool:
        """Return whether the first bad step blocks all later steps."""
        return self.guard is not None and self.guard.latch

    def read_guard(self) -> GuardReport:
        """Return bad steps since the last reading and the mean loss since the last log row; synchronises."""
        assert self.guard is not None
        return self.guard.read()

    def begin_mean(self) -> None:
        """Start the mean loss of the next log row."""
        assert self.guard is not None
        self.guard.begin_mean()

    def broken_weights(self) -> list[str]:
        """Return names of non-finite weights and statistics; synchronises."""
        return names_not_finite(self.model.state_dict())

    def validate(self, signal: Callable[[], int]) -> bool:
        """Run the whole validation with averaged weights, if there are any, then restore the training weights. Each
        process takes its share of the batches, and all of them get the outputs of all.

        Returns False if `signal` was not 0 in any process between two batches. Lightning's loop is not used, since it
        counts batches from the start of the process, so that a resumed run would validate at other steps.
        """
        plugin = family_of(self.card.arch).plugin
        peers = self.peers
        self.validation.begin()
        if self.average is not None:
            self.average.swap(self.model)
        self.model.eval()
        try:
            batches = iter(self.validation)
            while True:
                batch = None
                try:
                    batch = next(batches, None)
                    if batch is not None:
                        with torch.inference_mode(), self.autocast(), guarded(plugin, "validation"):
                            self.validation.step(self.model, to_device(batch, self.device))
                except Exception as error:
                    peers.failure = error
                all_ = peers.agree_now(Word(signal(), peers.failure is not None, batch is not None))
                if all_.failed:
                    peers.end_with_failure()
                if not all_.more:
                    break
                if all_.signal:
                    return False
        finally:
            self.model.train()
            if self.average is not None:
                self.average.swap(self.model)
        self.validation.merge(peers.gather)
        return True

    @contextmanager
    def rewound_to(self, step: int) -> Iterator[None]:
        """Save checkpoints inside as of `step`, after which the guard has blocked every update."""
        self._wound_back = step
        try:
            yield
        finally:
            self._wound_back = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the model card, the weight average, the loss scale, the elapsed seconds and the state of the
        schedule."""
        checkpoint[CARD_KEY] = self.card.to_json()
        checkpoint["elapsed"] = self.progress.elapsed
        checkpoint["schedule"] = self.progress.state()
        if self.recent:
            self.next_draw = 1 + max(self.peers.gather(max(int(ids.max()) for ids in self.recent[-1][1])))
        checkpoint["next_draw"] = self.next_draw
        if self._wound_back is not None:
            parts = dict(self.recent)[self._wound_back + 1]
            checkpoint["next_draw"] = min(self.peers.gather(min(int(ids.min()) for ids in parts)))
            rewind_counters(checkpoint, checkpoint["global_step"] - self._wound_back, self.train_settings.accumulate)
        if self.average is not None:
            checkpoint["ema"] = dict(self.average.tensors)
        if self.scale is not None:
            checkpoint["loss_scale"] = self.scale.state()
        if self.guard is not None:
            checkpoint["loss_mean"] = self.guard.mean_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state that `prepare` restores."""
        names = ("ema", "loss_scale", "loss_mean")
        self._restored = {name: checkpoint[name] for name in names if name in checkpoint}
        self.next_draw = int(checkpoint["next_draw"])


def rewind_counters(checkpoint: dict[str, Any], steps: int, accumulate: int) -> None:
    """Subtract `steps` optimiser steps from the counters of Lightning's loops in `checkpoint`."""
    checkpoint["global_step"] -= steps
    loops = checkpoint["loops"]["fit_loop"]
    for name, taken in (
        ("epoch_loop.manual_optimization.optim_step_progress", steps),
        ("epoch_loop.batch_progress", steps * accumulate),
    ):
        for counts in loops[name].values():
            if isinstance(counts, dict):
                counts.update({key: value - taken for key, value in counts.items()})
    loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= steps


def step_seed(seed: int, step: int) -> int:
    """Return the random seed of a step, so that dropout and reading orders are the same after a restart."""
    return (seed << 32) + step
