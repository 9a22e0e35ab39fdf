"""PARSeq decoding of all positions at once, iterative refinement, and attention weights.

Bautista, Atienza, 2022, section 3.3 and table 1 (https://arxiv.org/abs/2207.06966). Shapes as in parseq.PARSeq.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ocrctl.models.layers.attention import attention_weights
from ocrctl.models.parseq.decoder import KeyValue
from ocrctl.models.parseq.incremental_decoder import PARSeqParts


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


def patch_weights(model: PARSeqParts, memory: Tensor, ids: Tensor) -> Tensor:
    """Return the weights of the image's patches for each character, given those before it; the mean of the heads.

    memory: (N, S, D). ids: int64 (N, T), classes, [EOS] after the text. Returns (N, T, S).
    """
    layer, steps = model.decoder.layer, ids.shape[1]
    context = torch.cat([torch.full_like(ids[:, :1], model.bos), ids[:, :-1]], dim=1)
    before = torch.ones(steps, steps, dtype=torch.bool, device=ids.device).tril()
    queries = model.pos_queries[:, :steps]
    content = layer.content_kv(model.embed(context))
    states = queries + layer.self_attn(layer.content_queries(queries), content, before[None, None])
    keys, _ = layer.image_kv(memory)  # (N, heads, S, d)
    return attention_weights(layer.cross_attn.queries(layer.norm1(states)), keys).mean(1)
