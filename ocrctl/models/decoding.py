"""From logits to class ids, on the device; strings are made by the tokenizer, on the CPU."""

from __future__ import annotations

from torch import Tensor


def best_classes(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The best class of every step and its probability: (N, T, K) logits to ids (N, T) int64, probabilities (N, T)."""
    probabilities, ids = logits.float().softmax(-1).max(-1)
    return ids, probabilities
