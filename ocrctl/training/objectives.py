"""What each kind of decoder learns from a batch: the one place where training tells them apart."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ocrctl.losses.ctc import ctc_loss
from ocrctl.losses.permuted import permuted_loss
from ocrctl.models.ocr_model import OCRModel
from ocrctl.text.tokenizer import ARTokenizer


class Objective(Protocol):
    """A function of the model and a batch (data.recognition.WordBatch as tensors) to a loss on the device."""

    def __call__(self, model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
        """Scalar, float32; waits for nothing."""


def learn_ctc(model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
    """labels: int64 (N, L) class ids, 0 past lengths (N,)."""
    logits = model(batch["images"], batch["labels"])["logits"]
    return ctc_loss(logits, batch["labels"], batch["lengths"])


def learn_permuted(model: OCRModel, batch: dict[str, Tensor]) -> Tensor:
    """labels: int64 (N, L + 1), [BOS] characters [EOS], [PAD] behind, as ARTokenizer encodes them.

    The reading orders are drawn from PyTorch's CPU random state, which the module sets for each step.
    """
    logits = model(batch["images"], batch["labels"])["logits"]
    return permuted_loss(logits, batch["labels"], ends=ARTokenizer.eos, pad=logits.shape[-1] + 1)


OBJECTIVES: dict[str, Objective] = {"ctc": learn_ctc, "ar": learn_permuted}  # by the card's decoder
