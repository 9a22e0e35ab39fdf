"""PARSeq decoding: autoregressive with a key/value cache, non-autoregressive, iterative refinement, beam search.

Bautista, Atienza, 2022, section 3.3 and table 1 (https://arxiv.org/abs/2207.06966). Shapes as in parseq.PARSeq.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ocrctl.models.layers.autoregressive import greedy_logits
from ocrctl.models.parseq.decoder import KeyValue
from ocrctl.models.parseq.incremental_decoder import IncrementalDecoder, PARSeqParts


@dataclass(frozen=True)
class Beams:
    """Result of a beam search, best first. ids: int64 (N, B, T), class 0 after the end. scores: (N, B) sums of log
    probabilities, [EOS] included."""

    ids: Tensor
    scores: Tensor


def autoregressive_logits(model: PARSeqParts, memory: Tensor, steps: int) -> Tensor:
    """Decode greedily, one character per step. memory: (N, S, D). Returns logits as `greedy_logits`."""
    return greedy_logits(IncrementalDecoder(model, memory, steps), memory, steps, bos=model.bos, eos=model.eos)


def parallel_logits(model: PARSeqParts, image: KeyValue, steps: int) -> Tensor:
    """Decode all positions at once, with [BOS] as the only context. Returns logits (N, steps, K)."""
    start = torch.full((image[0].shape[0], 1), model.bos, dtype=torch.int64, device=image[0].device)
    content = model.decoder.layer.content_kv(model.embed(start))
    return model.head(model.decoder(model.pos_queries[:, :steps], content, image))


def refined_logits(model: PARSeqParts, image: KeyValue, logits: Tensor) -> Tensor:
    """Predict each position again from all other positions before the end (cloze mask).

    logits: (N, T, K) of the previous iteration. Returns the new logits, same shape.
    """
    batch, steps, _ = logits.shape
    start = torch.full((batch, 1), model.bos, dtype=torch.int64, device=logits.device)
    context = torch.cat([start, logits[:, :-1].argmax(2)], dim=1)  # (N, T)
    before_end = (context == model.eos).int().cumsum(1) == 0  # (N, T); [BOS] is always included, so no row is empty
    # Query i predicts the token at context position i + 1, so it is masked.
    others = ~torch.ones(steps, steps, dtype=torch.bool, device=logits.device).tril(1).triu(1)  # (T, T)
    content = model.decoder.layer.content_kv(model.embed(context))
    mask = others[None, None] & before_end[:, None, None]
    return model.head(model.decoder(model.pos_queries[:, :steps], content, image, mask))


def beam_search(model: PARSeqParts, memory: Tensor, steps: int, beam: int) -> Beams:
    """Find the `beam` texts with the highest sum of log probabilities by beam search.

    memory: (N, S, D). Every text ends: the last step admits [EOS] only.
    """
    batch, device = memory.shape[0], memory.device
    ids = torch.zeros(batch, beam, 0, dtype=torch.int64, device=device)
    scores = torch.full((batch, beam), -torch.inf, device=device)
    scores[:, 0] = 0.0  # one hypothesis to begin with
    token = torch.full((batch, beam), model.bos, dtype=torch.int64, device=device)
    ended = torch.zeros(batch, beam, dtype=torch.bool, device=device)
    decoder = IncrementalDecoder(model, memory.repeat_interleave(beam, 0), steps)
    for step in range(steps):
        logs = decoder.logits(token.flatten(), step).float().log_softmax(1).unflatten(0, (batch, beam))  # (N, B, K)
        only_end = torch.full_like(logs, -torch.inf)
        only_end[..., model.eos] = 0.0  # an ended text continues with [EOS], at no cost
        if step == steps - 1:  # only [EOS] fits
            logs = logs + only_end
        total = scores[..., None] + torch.where(ended[..., None], only_end, logs)
        classes = total.shape[2]
        scores, best = total.flatten(1).topk(beam, dim=1)  # (N, B)
        origin, token = best // classes, best % classes
        ids = torch.cat([ids.gather(1, origin[..., None].expand(-1, -1, step)), token[..., None]], dim=2)
        ended = ended.gather(1, origin) | (token == model.eos)
        if bool(ended.all()):
            break
        decoder.reorder_cache((origin + torch.arange(batch, device=device)[:, None] * beam).flatten())
    return Beams(torch.nn.functional.pad(ids, (0, steps - ids.shape[2])), scores)
