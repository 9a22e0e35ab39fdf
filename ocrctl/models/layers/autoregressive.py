"""Greedy decoding of an autoregressive recogniser, one character per step; shared by every such family."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

COMPACT_FRACTION = 8  # drop finished rows once they are 1/8 of the batch: copying the others costs about one step
CHECK_EVERY = {"cpu": 1}  # steps between checks for finished rows, by device
CHECK_EVERY_DEFAULT = 4  # a check synchronises with the device, which costs more than a few superfluous steps


class StepDecoder(Protocol):
    """A decoder that holds what it attends to, with a key/value cache of the characters so far. n rows remain."""

    steps: int
    """T, the maximum number of characters, with the end"""

    def logits(self, token: Tensor, step: int) -> Tensor:
        """Append `token`, int64 (n,), at context position `step` (first [BOS]). Returns logits (n, K) of position
        `step`."""

    def keep_rows(self, rows: Tensor) -> None:
        """Keep only these rows, int64 (n,), of the image features and the cache."""

    def reorder_cache(self, rows: Tensor) -> None:
        """Replace the cache of each row by that of row `rows`, int64 (n,), which has the same image; the image features
        are not changed."""


Cache = tuple[Tensor, ...]
"""key/value cache of an exported loop: tensors of constant shape, (..., n, ..., T, d)"""


@runtime_checkable
class LoopDecoder(Protocol):
    """A StepDecoder that can also be exported as one loop: a step is a function of tensors of constant shape."""

    classes: int
    """K"""

    def empty_cache(self) -> Cache:
        """Return a cache for all T steps that holds no character yet."""

    def loop_logits(self, token: Tensor, step: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Compute `StepDecoder.logits` for `step`, an int64 scalar tensor. Returns logits (n, K) and the new cache."""


def greedy_logits(decoder: StepDecoder, like: Tensor, steps: int, *, bos: int, eos: int) -> Tensor:
    """Decode greedily, one character per step. like: a tensor (N, ...) on the device, such as the image features.

    Finished rows are dropped from the batch, except during export, where every row runs until all have ended (a
    LoopDecoder) or to the last step of an unrolled loop: the result is the same. Returns logits (N, steps, K), zeros
    after the end of a row.
    """
    unrolled = torch.compiler.is_compiling()
    if unrolled and isinstance(decoder, LoopDecoder):
        return _blank_after_end(_exported_loop(decoder, like, steps, bos=bos, eos=eos), eos)
    check_every = CHECK_EVERY.get(like.device.type, CHECK_EVERY_DEFAULT)
    rows = torch.arange(like.shape[0], device=like.device)  # index in the batch of each remaining row
    alive = torch.ones_like(rows, dtype=torch.bool)
    token = torch.full_like(rows, bos)
    pieces: list[tuple[Tensor, Tensor]] = []
    for step in range(steps):
        logits = decoder.logits(token, step)  # (n, K)
        pieces.append((rows, logits))
        token = logits.argmax(1)
        if check_every == 1 and len(token) == 1 and not unrolled:  # the text has not ended before
            remaining = int(token.item() != eos)
        else:
            alive = alive & (token != eos)
            if unrolled or (step + 1) % check_every:
                continue
            remaining = int(alive.sum())
        if remaining == 0:
            break
        if (len(alive) - remaining) * COMPACT_FRACTION >= len(alive):
            kept = alive.nonzero()[:, 0]
            decoder.keep_rows(kept)
            rows, token, alive = rows[kept], token[kept], alive[kept]
    if unrolled or len(rows) == like.shape[0]:  # no row was dropped
        out = torch.stack([logits for _, logits in pieces], dim=1)
        out = torch.nn.functional.pad(out, (0, 0, 0, steps - len(pieces)))
    else:
        out = pieces[0][1].new_zeros(like.shape[0], steps, pieces[0][1].shape[1])
        for step, (rows, logits) in enumerate(pieces):
            out[rows, step] = logits
    return _blank_after_end(out, eos)


def _exported_loop(decoder: LoopDecoder, like: Tensor, steps: int, *, bos: int, eos: int) -> Tensor:
    """Decode in a loop that an exported graph keeps as one: it ends when every row has ended. Returns (N, steps, K)."""
    from torch._higher_order_ops.while_loop import while_loop  # imports the compiler, which only an export needs

    rows, device = like.shape[0], like.device
    positions = torch.arange(steps, device=device)
    step = torch.zeros((), dtype=torch.int64, device=device)
    token = torch.full((rows,), bos, dtype=torch.int64, device=device)
    alive = torch.ones(rows, dtype=torch.bool, device=device)
    cache = decoder.empty_cache()
    out = cache[0].new_zeros(rows, steps, decoder.classes)

    def unfinished(step: Tensor, token: Tensor, alive: Tensor, out: Tensor, *cache: Tensor) -> Tensor:
        return (step < steps) & alive.any()

    def body(step: Tensor, token: Tensor, alive: Tensor, out: Tensor, *cache: Tensor) -> tuple[Tensor, ...]:
        logits, cache = decoder.loop_logits(token, step, cache)
        out = torch.where((positions == step)[None, :, None], logits[:, None], out)
        token = logits.argmax(1)
        return step + 1, token, alive & (token != eos), out, *cache

    found: tuple[Tensor, ...] = while_loop(unfinished, body, (step, token, alive, out, *cache))
    return found[3]


def _blank_after_end(logits: Tensor, eos: int) -> Tensor:
    """Set the positions after the end of each row of (N, T, K) to zero."""
    ends = (logits.argmax(2) == eos).int()
    return logits.masked_fill((ends.cumsum(1) > ends)[..., None], 0.0)
