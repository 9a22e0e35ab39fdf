"""Scaled dot-product attention (Vaswani et al., "Attention Is All You Need", 2017, section 3.2,
https://arxiv.org/abs/1706.03762) and a dropout that the CPU can afford.

PyTorch's own dropout waits, on the CPU, for one serial generator that draws a double for every element: a third of the
decoder's time in training. And its attention in bf16 is slower there than in float32, backward several times, so half
precision is left for the attention itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def split_heads(states: Tensor, heads: int) -> Tensor:
    """Map (N, L, D) to (N, heads, L, D / heads)."""
    return states.unflatten(2, (heads, -1)).transpose(1, 2)


def join_heads(states: Tensor) -> Tensor:
    """Map (N, heads, L, D / heads) to (N, L, D)."""
    return states.transpose(1, 2).flatten(2)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None, rate: float = 0.0) -> Tensor:
    """Attend from queries (N, heads, Q, d) to keys and values (N, heads, L, d); returns (N, heads, Q, d).

    mask: boolean, broadcast to (N, heads, Q, L), True attends; a row that is False throughout would be NaN. Or float,
    added to the scores: logarithms of the weights of the keys, or biases. rate: share of the weights that is dropped.
    """
    if queries.device.type == "cpu" and queries.dtype.itemsize < 4:
        with torch.autocast("cpu", enabled=False):
            return attend(queries.float(), keys.float(), values.float(), mask, rate).to(queries.dtype)
    if mask is not None and mask.is_floating_point():
        mask = mask.to(queries.dtype)
        if torch.compiler.is_compiling():  # the exporter's own decomposition fails where L is free
            return (torch.matmul(queries, keys.transpose(2, 3)) * queries.shape[3] ** -0.5 + mask).softmax(3) @ values
    if rate == 0.0 or queries.device.type != "cpu":
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, dropout_p=rate)
    batch = queries.shape[:2]
    queries, keys, values = (part.flatten(0, 1) for part in (queries, keys, values))  # (N * heads, ., d)
    nothing = queries.new_zeros(1, 1, 1)
    scores = torch.baddbmm(nothing, queries, keys.transpose(1, 2), beta=0, alpha=queries.shape[2] ** -0.5)
    if mask is not None:
        scores = scores.unflatten(0, batch)
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype is torch.bool else scores + mask
        scores = scores.flatten(0, 1)
    weights = drop(scores.softmax(2), rate)  # (N * heads, Q, L)
    return torch.bmm(weights, values).unflatten(0, batch)


def attention_weights(queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the weights that `attend` sums values with, float32 (N, heads, Q, L), to be drawn; mask boolean."""
    scores = torch.matmul(queries.float(), keys.float().transpose(2, 3)) * queries.shape[3] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(3)


def drop(states: Tensor, rate: float) -> Tensor:
    """Zero a share `rate` of the elements and scale the others up to keep the mean (Srivastava et al., 2014).

    The CPU draws 16 bits for each element, so there `rate` holds to 1 / 65536.
    """
    if rate == 0.0 or states.device.type != "cpu":
        return F.dropout(states, rate)
    count = states.numel()
    bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:count]
    dropped = round(rate * 65536)
    kept = (bits >= dropped - 32768).view(states.shape)
    return states * (kept * (65536 / (65536 - dropped))).to(states.dtype)


class Dropout(nn.Module):
    """`drop` while training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, states: Tensor) -> Tensor:
        """Drop states while training; same shape."""
        return drop(states, self.rate) if self.training else states
