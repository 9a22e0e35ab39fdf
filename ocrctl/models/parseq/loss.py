"""Permutation language modelling loss of PARSeq, in float32.

Bautista, Atienza, "Scene Text Recognition with Permuted Autoregressive Sequence Models", 2022, section 3.2, equation 3
(https://arxiv.org/abs/2207.06966).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrctl.config.settings import TrainSettings
from ocrctl.models.layers.whole_batch import batch_mean
from ocrctl.models.ocr_model import OCRModel
from ocrctl.text.tokenizer import ARTokenizer

ORDERS_WITH_END = 2  # left to right and right to left; [EOS] is not permuted, so further orders would repeat it


def permuted_loss(logits: Tensor, targets: Tensor, *, ends: int, pad: int, smoothing: float = 0.0) -> Tensor:
    """Compute the mean cross entropy over all characters of all orders, and over [EOS] of the first two orders.

    logits: (N, P, L, K). targets: int64 (N, L + 1), [BOS] first, `ends` after the characters, then
    `pad`. `smoothing`: label smoothing in 0..1 (Szegedy et al., 2016).
    """
    orders = logits.shape[1]
    wanted = targets[:, None, 1:].expand(-1, orders, -1)  # (N, P, L)
    later = torch.arange(orders, device=targets.device)[:, None] >= ORDERS_WITH_END  # (P, 1)
    wanted = torch.where(later & (wanted == ends), pad, wanted)
    with torch.autocast(logits.device.type, enabled=False):
        flat = logits.float().flatten(0, 2)
        loss = F.cross_entropy(flat, wanted.flatten(), ignore_index=pad, label_smoothing=smoothing)
        return batch_mean(loss, (wanted != pad).sum())


@dataclass(frozen=True)
class PermutationObjective:
    """Training objective of PARSeq: permutation language modelling, with label `smoothing` in 0..1."""

    smoothing: float = 0.0

    def __call__(self, model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
        """labels: int64 (N, L + 1), [BOS] characters [EOS] [PAD]..., as ARTokenizer encodes them.

        Reading orders are drawn from PyTorch's CPU random state, which the training module sets at each step.
        """
        logits = model(batch["images"], batch["labels"])["logits"]
        pad = logits.shape[-1] + 1
        return permuted_loss(logits, batch["labels"], ends=ARTokenizer.eos, pad=pad, smoothing=self.smoothing)


def objective(train: TrainSettings) -> PermutationObjective:
    """Return the training objective, with the label smoothing of the settings."""
    return PermutationObjective(train.label_smoothing)
