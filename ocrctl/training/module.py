"""What one step of recognition training does. Nothing here waits for the device."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.models.decoding import best_classes
from ocrctl.models.ocr_model import OCRModel
from ocrctl.text.tokenizer import Tokenizer
from ocrctl.training.objectives import OBJECTIVES
from ocrctl.training.schedule import Progress, learning_rate


class RecognitionModule(pl.LightningModule):
    """Trains a recogniser; `loss_sum` and `loss_count` are read and cleared at log time only."""

    def __init__(
        self,
        model: OCRModel,
        card: ModelCard,
        tokenizer: Tokenizer,
        train: TrainSettings,
        progress: Progress,
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.card = card
        self.tokenizer = tokenizer
        self.objective = OBJECTIVES[card.decoder]
        self.train_settings = train
        self.progress = progress
        self.seed = seed
        self.loss_sum: Tensor | None = None
        self.loss_count = 0
        self.predictions: list[tuple[str, float]] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW (Loshchilov, Hutter, 2019); no weight decay on biases, normalisation and what the model exempts."""
        exempt = self.model.undecayed()
        named = list(self.model.named_parameters())
        decayed = [p for name, p in named if p.ndim >= 2 and name not in exempt]
        plain = [p for name, p in named if p.ndim < 2 or name in exempt]
        groups = [
            {"params": decayed, "weight_decay": self.train_settings.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.train_settings.lr, betas=(0.9, 0.98), fused=True)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set this step's learning rate and random state, both functions of the step alone."""
        rate = learning_rate(self.progress.share(self.global_step), self.train_settings)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        torch.manual_seed((self.seed << 32) + self.global_step)  # dropout, reading orders: the same after a restart

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """One forward pass; the loss stays on the device."""
        loss = self.objective(self.model, batch)
        seen = loss.detach()
        self.loss_sum = seen if self.loss_sum is None else self.loss_sum + seen
        self.loss_count += 1
        return loss

    def read_loss(self) -> float:
        """Mean loss since the last call; waits for the device. NaN when no step was made."""
        value = float(self.loss_sum) / self.loss_count if self.loss_sum is not None else float("nan")
        self.loss_sum, self.loss_count = None, 0
        return value

    def broken(self) -> bool:
        """Whether a loss since the last log or a weight is not finite; waits for the device."""
        sums = [p.detach().float().sum() for p in self.model.parameters()]
        if self.loss_sum is not None:
            sums.append(self.loss_sum.float())
        return not bool(torch.isfinite(torch.stack(sums)).all())

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation's predictions."""
        self.predictions = []

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Greedy strings of one batch, in order, into `predictions`."""
        ids, probabilities = best_classes(self.model(batch["images"])["logits"])
        self.predictions += self.tokenizer.decode(ids.cpu().numpy(), probabilities.cpu().numpy())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the model card and the seconds trained beside the weights."""
        checkpoint[CARD_KEY] = self.card.to_json()
        checkpoint["elapsed"] = self.progress.elapsed
