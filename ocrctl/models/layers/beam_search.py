"""Beam search over an autoregressive decoder, with length normalisation and an optional lexicon.

Graves, "Sequence Transduction with Recurrent Neural Networks", 2012, section 2.5 (https://arxiv.org/abs/1211.3711), for
a batch of images at once. Scores are normalised by length as in Wu et al., 2016, section 7
(https://arxiv.org/abs/1609.08144), with (characters + 1) in place of (5 + characters) / 6. Shapes: N images, of which n
are still searched, B texts for each, T output steps, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ocrctl.models.layers.autoregressive import (
    CHECK_EVERY,
    CHECK_EVERY_DEFAULT,
    COMPACT_FRACTION,
    StepDecoder,
)

NEVER = -torch.inf  # score of a text that does not exist


@dataclass(frozen=True)
class Beams:
    """Texts of each image, best first. ids: int64 (N, B, T), class 0 after the end. steps: (N, B, T), the log
    probability of each character and of the end, 0 after it. scores: (N, B), their sum divided by their number to the
    `power` of the search; minus infinity where the search found fewer than B texts."""

    ids: Tensor
    steps: Tensor
    scores: Tensor


class Words(Protocol):
    """A lexicon as a prefix tree; node 0 is the empty prefix (text.lexicon.Lexicon)."""

    def allowed(self, nodes: Tensor, classes: int) -> Tensor:
        """Return bool (R, K): the characters that may follow each prefix int64 (R,), class 0 where it is a word."""

    def child(self, nodes: Tensor, ids: Tensor) -> Tensor:
        """Return the prefixes (R,) that follow `nodes` by the characters `ids`."""


def beam_search(
    decoder: StepDecoder,
    like: Tensor,
    steps: int,
    beam: int,
    *,
    bos: int,
    eos: int,
    power: float = 1.0,
    words: Words | None = None,
) -> Beams:
    """Find `beam` texts of high score for each image.

    decoder: has `beam` rows for each image, one after the other. like: a tensor (N, ...) on the device. power: 0 ranks
    texts by their probability, 1 by the geometric mean of the probabilities of their characters and end. A text that
    ends takes its row out of the beam, so a beam of 1 is greedy decoding; an image is finished when no open text can
    exceed its best one, or all rows have ended. Every text ends: the last step admits the end only. With `words` every
    text is one of them. The scores of an image are NaN when its logits are.
    """
    images, device = like.shape[0], like.device
    check_every = CHECK_EVERY.get(device.type, CHECK_EVERY_DEFAULT)
    rows = torch.arange(images, device=device)  # index in the batch of each remaining image
    slots = torch.arange(beam, device=device)
    origins = torch.zeros(steps, images, beam, dtype=torch.int64, device=device)
    tokens, logs = torch.zeros_like(origins), torch.zeros(steps, images, beam, device=device)
    best = torch.full((images, beam), NEVER, device=device)  # scores of ended texts
    where = torch.zeros(images, beam, dtype=torch.int64, device=device)  # step * beam + slot at which each ended
    live = torch.full((images, beam), NEVER, device=device)
    live[:, 0] = 0.0  # one empty text to begin with
    ended = torch.zeros(images, 1, dtype=torch.int64, device=device)
    token = torch.full((images * beam,), bos, dtype=torch.int64, device=device)
    nodes = torch.zeros_like(token)
    for step in range(steps):
        step_logs = decoder.logits(token, step).float().log_softmax(1)  # (n * B, K)
        classes = step_logs.shape[1]
        if words is not None:
            step_logs = step_logs.masked_fill(~words.allowed(nodes, classes), NEVER)
        if step == steps - 1:
            step_logs[:, :eos] = step_logs[:, eos + 1 :] = NEVER
        total = live[:, :, None] + step_logs.unflatten(0, (-1, beam))  # (n, B, K)
        scores, flat = total.flatten(1).topk(beam, dim=1)
        scores = scores.masked_fill(slots >= beam - ended, NEVER)
        origin, chosen = flat // classes, flat % classes
        row = slots[None] + beam * torch.arange(len(rows), device=device)[:, None]
        before = (row - slots + origin).flatten()  # row of the decoder that each text continues
        origins[step, rows], tokens[step, rows] = origin, chosen
        logs[step, rows] = step_logs.flatten()[before * classes + chosen.flatten()].view_as(scores)
        ends = (chosen == eos) & (scores > NEVER)
        both = torch.cat([best[rows], scores.masked_fill(~ends, NEVER) / (step + 1) ** power], dim=1)
        found, pick = both.topk(beam, dim=1)
        found = found.masked_fill(scores[:, :1].isnan(), torch.nan)  # topk takes NaN for the largest
        here = (step * beam + slots).expand(len(rows), -1)
        best[rows], where[rows] = found, torch.cat([where[rows], here], dim=1).gather(1, pick)
        ended = ended + ends.sum(1, keepdim=True)
        live = scores.masked_fill(ends, NEVER)
        open_ = live.amax(1) / steps**power > found[:, 0]
        live = live.masked_fill(~open_[:, None], NEVER)
        token = chosen.flatten()
        if step == steps - 1:
            break
        if (step + 1) % check_every == 0:
            remaining = int(open_.sum())
            if remaining == 0:
                break
            if (len(rows) - remaining) * COMPACT_FRACTION >= len(rows):
                kept = open_.nonzero()[:, 0]
                decoder.keep_rows(row[kept].flatten())
                before = (before.view(-1, beam)[kept] - (row[kept] - row[: len(kept)])).flatten()
                token = token.view(-1, beam)[kept].flatten()
                nodes = nodes.view(-1, beam)[kept].flatten()
                rows, live, ended = rows[kept], live[kept], ended[kept]
        decoder.reorder_cache(before)
        if words is not None:
            nodes = words.child(nodes[before], token)
    return _trace_back(best, where, origins, tokens, logs)


def _trace_back(best: Tensor, where: Tensor, origins: Tensor, tokens: Tensor, logs: Tensor) -> Beams:
    """Follow each ended text back to its first character. where: int64 (N, B); origins, tokens, logs: (T, N, B)."""
    beam = best.shape[1]
    last, slot = where // beam, where % beam
    ids, steps = [], []
    for step in range(len(tokens) - 1, -1, -1):
        within = (step <= last) & (best > NEVER)
        ids.append(tokens[step].gather(1, slot) * within)
        steps.append(logs[step].gather(1, slot).masked_fill(~within, 0.0))
        slot = torch.where(within, origins[step].gather(1, slot), slot)
    return Beams(torch.stack(ids[::-1], dim=2), torch.stack(steps[::-1], dim=2), best)
