"""Connectionist temporal classification (CTC): the class head of recognisers, and the loss, in float32.

Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent Neural
Networks", ICML 2006.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CTCHead(nn.Module):
    """One linear layer to K classes, class 0 the CTC blank."""

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, num_classes)

    def forward(self, states: Tensor) -> dict[str, Tensor]:
        """Map (N, T, D) to {"logits": (N, T, K)}."""
        return {"logits": self.linear(states)}


def ctc_loss(logits: Tensor, labels: Tensor, lengths: Tensor, steps: Tensor | None = None) -> Tensor:
    """Compute the mean over the batch of the CTC loss divided by the label's length.

    logits: (N, T, K), class 0 the blank. labels: int64 (N, L), padded with 0 past `lengths` (N,). steps: int64 (N,),
    the first steps of each row that belong to its image; None: all T. Labels that need more steps are refused before
    training (data/datasets/check_labels.py); here they would give infinity.
    """
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)  # (T, N, K)
    if steps is None:
        steps = torch.full((logits.shape[0],), logits.shape[1], dtype=torch.int64)
    with torch.autocast(logits.device.type, enabled=False):
        return F.ctc_loss(log_probs, labels, steps.cpu(), lengths.cpu() if lengths.is_cuda else lengths, blank=0)
