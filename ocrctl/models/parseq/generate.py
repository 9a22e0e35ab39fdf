"""How PARSeq reads: character by character with a cache, all at once, over again, or with a beam.

Bautista, Atienza, 2022, section 3.3 and table 1 (https://arxiv.org/abs/2207.06966). Shapes as in parseq.PARSeq. What
does not change is computed once: keys and values of every character written so far and, where all places are read at
once, those of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ocrctl.models.parseq.decoder import KeyValue
from ocrctl.models.parseq.incremental_decoder import Parts, Reader

LEAVE_SHARE = 8  # finished rows leave once they are an eighth of the batch: copying the rest costs about one step
LOOK_EVERY = {"cpu": 1}  # steps after which it is looked whether rows have finished
LOOK_EVERY_ELSEWHERE = 4  # on a device that has to be waited for, to look costs more than a few steps for nothing


@dataclass(frozen=True)
class Beams:
    """ids: int64 (N, B, T), class 0 after the end; scores: (N, B) sums of log probabilities, [EOS] included, best
    first."""

    ids: Tensor
    scores: Tensor


def character_by_character(model: Parts, memory: Tensor, steps: int) -> Tensor:
    """Each step sees what was written so far (incremental_decoder.Reader keeps it). memory: (N, S, D).

    Rows leave the batch when they are finished, except while the model is exported, when the loop is unrolled and all
    rows go to the end: the result is the same. Returns logits (N, steps, K), zeros after the end of a row.
    """
    unrolled = torch.compiler.is_compiling()
    look_every = LOOK_EVERY.get(memory.device.type, LOOK_EVERY_ELSEWHERE)
    reader = Reader(model, memory, steps)
    rows = torch.arange(memory.shape[0], device=memory.device)  # which row of the batch each row is
    alive = torch.ones_like(rows, dtype=torch.bool)
    token = torch.full_like(rows, model.bos)
    pieces: list[tuple[Tensor, Tensor]] = []
    for step in range(steps):
        logits = reader.logits(token, step)  # (n, K)
        pieces.append((rows, logits))
        token = logits.argmax(1)
        alive = alive & (token != model.eos)
        if unrolled or (step + 1) % look_every:
            continue
        left = int(alive.sum())
        if left == 0:
            break
        if (len(alive) - left) * LEAVE_SHARE >= len(alive):
            kept = alive.nonzero()[:, 0]
            reader.keep(kept)
            rows, token, alive = rows[kept], token[kept], alive[kept]
    if unrolled or len(rows) == memory.shape[0]:  # nobody left
        out = torch.stack([logits for _, logits in pieces], dim=1)
        out = torch.nn.functional.pad(out, (0, 0, 0, steps - len(pieces)))
    else:
        out = pieces[0][1].new_zeros(memory.shape[0], steps, pieces[0][1].shape[1])
        for step, (rows, logits) in enumerate(pieces):
            out[rows, step] = logits
    ends = (out.argmax(2) == model.eos).int()
    return out.masked_fill((ends.cumsum(1) > ends)[..., None], 0.0)


def all_at_once(model: Parts, picture: KeyValue, steps: int) -> Tensor:
    """Every position without context: [BOS] is all there is. Returns logits (N, steps, K)."""
    start = torch.full((picture[0].shape[0], 1), model.bos, dtype=torch.int64, device=picture[0].device)
    content = model.decoder.layer.content(model.embed(start))
    return model.head(model.decoder(model.pos_queries[:, :steps], content, picture))


def refined(model: Parts, picture: KeyValue, logits: Tensor) -> Tensor:
    """Each position read again in sight of all others, what stands after the end hidden (a cloze mask).

    logits: (N, T, K) of the reading before. Returns the new ones, same shape.
    """
    batch, steps, _ = logits.shape
    start = torch.full((batch, 1), model.bos, dtype=torch.int64, device=logits.device)
    context = torch.cat([start, logits[:, :-1].argmax(2)], dim=1)  # (N, T)
    before_end = (context == model.eos).int().cumsum(1) == 0  # (N, T); [BOS] always stands, so no row is empty
    # Query i predicts what stands at context position i + 1, and is the one that may not see it.
    others = ~torch.ones(steps, steps, dtype=torch.bool, device=logits.device).tril(1).triu(1)  # (T, T)
    content = model.decoder.layer.content(model.embed(context))
    mask = others[None, None] & before_end[:, None, None]
    return model.head(model.decoder(model.pos_queries[:, :steps], content, picture, mask))


def beam_search(model: Parts, memory: Tensor, steps: int, beam: int) -> Beams:
    """The `beam` best texts by the sum of log probabilities, among those that stay among the best at every step.

    memory: (N, S, D). Every text ends: the last step has room for the end alone.
    """
    batch, device = memory.shape[0], memory.device
    ids = torch.zeros(batch, beam, 0, dtype=torch.int64, device=device)
    scores = torch.full((batch, beam), -torch.inf, device=device)
    scores[:, 0] = 0.0  # one text to begin with
    token = torch.full((batch, beam), model.bos, dtype=torch.int64, device=device)
    ended = torch.zeros(batch, beam, dtype=torch.bool, device=device)
    reader = Reader(model, memory.repeat_interleave(beam, 0), steps)
    for step in range(steps):
        logs = reader.logits(token.flatten(), step).float().log_softmax(1).unflatten(0, (batch, beam))  # (N, B, K)
        only_end = torch.full_like(logs, -torch.inf)
        only_end[..., model.eos] = 0.0  # an ended text goes on unchanged, at no cost
        if step == steps - 1:  # no room for another character
            logs = logs + only_end
        total = scores[..., None] + torch.where(ended[..., None], only_end, logs)
        classes = total.shape[2]
        scores, best = total.flatten(1).topk(beam, dim=1)  # (N, B)
        origin, token = best // classes, best % classes
        ids = torch.cat([ids.gather(1, origin[..., None].expand(-1, -1, step)), token[..., None]], dim=2)
        ended = ended.gather(1, origin) | (token == model.eos)
        if bool(ended.all()):
            break
        reader.follow((origin + torch.arange(batch, device=device)[:, None] * beam).flatten())
    return Beams(torch.nn.functional.pad(ids, (0, steps - ids.shape[2])), scores)
