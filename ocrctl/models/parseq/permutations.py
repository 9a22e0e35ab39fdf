"""Reading orders of permutation language modelling and their attention masks.

Bautista, Atienza, "Scene Text Recognition with Permuted Autoregressive Sequence Models", 2022, section 3.2
(https://arxiv.org/abs/2207.06966).
"""

from __future__ import annotations

import math
from itertools import permutations

import torch
from torch import Tensor

ORDERS = 6  # reading orders per step (K of the paper): left to right, right to left, two more and their mirrors


def draw_orders(length: int, count: int = ORDERS) -> Tensor:
    """Draw reading orders of labels of up to `length` characters from PyTorch's CPU random state.

    Returns int64 (P, length + 2) on the CPU: each row lists positions in reading order, position 0 ([BOS]) first and
    position length + 1 ([EOS]) last. Row 0 reads left to right. Row 1 reads right to left and starts with [EOS], so
    that the model learns to predict it without context, as non-autoregressive decoding requires. The other rows are
    mirrored pairs. P is `count`, or fewer where `length` has fewer orders. Raises ValueError for a length below 1.
    """
    if length < 1:
        raise ValueError(f"reading orders need labels of at least one character, got length {length}")
    if length == 1:
        return torch.arange(3).unsqueeze(0)
    forward = torch.arange(length)
    if length < 5:  # enumerate distinct pairs; of each the member that starts with the lower position
        pool = torch.tensor([order for order in permutations(range(length)) if order[0] < order[-1]])
        others = pool[1:][torch.randperm(len(pool) - 1)[: min(count // 2, math.factorial(length) // 2) - 1]]
    else:
        others = torch.stack([torch.randperm(length) for _ in range(count // 2 - 1)])
    drawn = torch.cat([forward.unsqueeze(0), others])  # (P / 2, length)
    pairs = torch.stack([drawn, drawn.flip(1)], dim=1).flatten(0, 1)  # (P, length), mirrors side by side
    first = pairs.new_zeros(len(pairs), 1)
    orders = torch.cat([first, pairs + 1, first + length + 1], dim=1)
    orders[1, 1:] = torch.arange(length + 1, 0, -1)
    return orders


def attention_masks(orders: Tensor) -> Tensor:
    """Build the attention masks of reading orders (P, L + 1): boolean (P, L, L), True attends.

    Row i is target position i + 1, column j is context position j: it is attended when it comes earlier in the order.
    [BOS] comes first in every order, so no row is empty (a softmax over an empty row would be NaN).
    """
    rank = orders.argsort(1)  # (P, L + 1): index of each position in the order
    return rank[:, None, :-1] < rank[:, 1:, None]
