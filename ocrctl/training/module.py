"""What one step of training does. Nothing here waits for the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.models.finite import names_not_finite
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.batches import to_device
from ocrctl.training.device import DTYPES, Placement
from ocrctl.training.ema import WeightAverage
from ocrctl.training.guard import GuardReport, LossScale, Statistics, StepGuard
from ocrctl.training.objectives import Objective
from ocrctl.training.optimizer import build_optimizer, clip
from ocrctl.training.position import step_seed, wind_back
from ocrctl.training.schedule import Progress
from ocrctl.training.validation import Validation


class TrainingModule(pl.LightningModule):
    """Trains one model by `objective`, with `validation` beside it.

    Optimisation is manual: Lightning's own reads the device once a step under float16 and refuses to clip for fused
    optimisers. `recent` holds the draw numbers of the steps since the guard was last read.
    """

    def __init__(
        self,
        model: OCRModel,
        card: ModelCard,
        objective: Objective,
        train: TrainSettings,
        placement: Placement,
        progress: Progress,
        seed: int,
        validation: Validation,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.card = card
        self.objective = objective
        self.train_settings = train
        self.validation = validation
        self.dtype_mixed = DTYPES.get(placement.precision)
        self.progress = progress
        self.seed = seed
        self.recent: deque[tuple[int, list[Tensor]]] = deque(maxlen=train.log_every_steps)
        self.guard: StepGuard | None = None
        self.scale: LossScale | None = None
        self.average: WeightAverage | None = None
        self._restored: dict[str, Any] = {}
        self._micro = 0
        self._loss: Tensor | None = None
        self._ids: list[Tensor] = []
        self._wound_back: int | None = None
        self.next_draw = 0  # draw number after the last one that was trained on

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """See training.optimizer.build_optimizer."""
        return build_optimizer(self.model, self.train_settings)

    def prepare(self) -> None:
        """Make the guard, the loss scale and the average, on the device that the model has reached by now."""
        self.model.train()  # which may leave its normalisation as it is
        train = self.train_settings
        self.statistics = Statistics(self.model)
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
        """Set this step's learning rate and random state, both functions of the step alone."""
        if self._micro:
            return
        rate = self.progress.learning_rate(self.global_step)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["share"]
        torch.manual_seed(step_seed(self.seed, self.global_step))
        self.statistics.keep()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One forward and backward pass; after the last of a step, the update."""
        accumulate = self.train_settings.accumulate
        with self.autocast():
            loss = self.objective(self.model, batch) / accumulate
        self.manual_backward(loss * self.scale.scale if self.scale else loss)
        seen = loss.detach().float()
        self._loss = seen if self._loss is None else self._loss + seen
        self._ids.append(batch["ids"])
        self._micro += 1
        if self._micro == accumulate:
            self._update()

    def autocast(self) -> Any:
        """The precision of forward passes."""
        return torch.autocast(self.device.type, self.dtype_mixed, enabled=self.dtype_mixed is not None)

    def _update(self) -> None:
        assert self.guard is not None and self._loss is not None
        scale = self.scale
        norm = clip(list(self.model.parameters()), self.train_settings.clip_norm, scale.scale if scale else None)
        held = self.guard.judge(self._loss, norm, scale.allows_overflow() if scale else None)
        if scale:
            scale.update(norm)
        optimizer = self.optimizers()
        optimizer.optimizer.found_inf = held  # type: ignore[union-attr]
        self.recent.append((self.global_step + 1, self._ids))
        optimizer.step()  # type: ignore[union-attr]
        optimizer.zero_grad(set_to_none=True)  # type: ignore[union-attr]
        self.statistics.restore_where(held)
        if self.average is not None:
            self.average.update(self.model, self.global_step, held)
        self._micro, self._loss, self._ids = 0, None, []

    @property
    def within_step(self) -> bool:
        """Whether some but not all of a step's batches have been seen."""
        return self._micro > 0

    @property
    def guard_latched(self) -> bool:
        """Whether the first bad step holds back all later ones."""
        return self.guard is not None and self.guard.latch

    def read_guard(self) -> GuardReport:
        """Bad steps since the last reading, mean loss since the last row of the log; waits for the device."""
        assert self.guard is not None
        return self.guard.read()

    def begin_mean(self) -> None:
        """Start the mean loss of the next row of the log."""
        assert self.guard is not None
        self.guard.begin_mean()

    def broken_weights(self) -> list[str]:
        """Names of the weights and statistics that hold values which are not finite; waits for the device."""
        return names_not_finite(self.model.state_dict())

    def validate(self, stops: Callable[[], bool]) -> bool:
        """Run the whole validation with the average, where there is one, and put the training's own weights back.

        Returns False when `stops` became true between two batches. Not Lightning's own loop: that one counts batches
        since the process started, so that a resumed run would validate at other steps.
        """
        self.validation.begin()
        if self.average is not None:
            self.average.swap(self.model)
        self.model.eval()
        try:
            for batch in self.validation:
                with torch.inference_mode(), self.autocast():
                    self.validation.step(self.model, to_device(batch, self.device))
                if stops():
                    return False
        finally:
            self.model.train()
            if self.average is not None:
                self.average.swap(self.model)
        return True

    @contextmanager
    def wound_back_to(self, step: int) -> Iterator[None]:
        """Checkpoints saved inside say that the run is at `step`, after which the guard has held back every update."""
        self._wound_back = step
        try:
            yield
        finally:
            self._wound_back = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the model card, the average, the loss scale, the seconds trained and the state of the
        schedule beside the weights."""
        checkpoint[CARD_KEY] = self.card.to_json()
        checkpoint["elapsed"] = self.progress.elapsed
        checkpoint["schedule"] = self.progress.state()
        if self.recent:
            self.next_draw = 1 + max(int(ids.max()) for ids in self.recent[-1][1])
        checkpoint["next_draw"] = self.next_draw
        if self._wound_back is not None:
            parts = dict(self.recent)[self._wound_back + 1]
            checkpoint["next_draw"] = min(int(ids.min()) for ids in parts)
            wind_back(checkpoint, checkpoint["global_step"] - self._wound_back, self.train_settings.accumulate)
        if self.average is not None:
            checkpoint["ema"] = dict(self.average.tensors)
        if self.scale is not None:
            checkpoint["loss_scale"] = self.scale.state()
        if self.guard is not None:
            checkpoint["loss_mean"] = self.guard.mean_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what `prepare` restores."""
        names = ("ema", "loss_scale", "loss_mean")
        self._restored = {name: checkpoint[name] for name in names if name in checkpoint}
        self.next_draw = int(checkpoint["next_draw"])
