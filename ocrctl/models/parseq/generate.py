"""PARSeq decoding of all positions at once, iterative refinement, and attention weights.

Bautista, Atienza, 2022, section 3.3 and table 1 (https://arxiv.org/abs/2207.06966). Shapes as in parseq.PARSeq.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrctl.models.layers.attention import attention_weights
from ocrctl.models.parseq.decoder import KeyValue
from ocrctl.models.parseq.decoder_weights import DecoderWeights, PARSeqParts


def parallel_logits(model: PARSeqParts, image: KeyValue, steps: int) -> Tensor:
    """Decode all positions at once, with [BOS] as the only context. Returns logits (N, steps, K)."""
    start = torch.full((image[0].shape[0], 1), model.bos, dtype=torch.int64, device=image[0].device)
    content = model.decoder.layer.content_kv(model.embed(start))
    return model.head(model.decoder(model.pos_queries[:, :steps], content, image))


def refined_logits(model: PARSeqParts, weights: DecoderWeights, image: KeyValue, logits: Tensor) -> Tensor:
    """Predict each position again from all other positions before the end (cloze mask).

    weights: those of `model`. logits: (N, T, K) of the previous iteration. Returns the new logits, same shape.
    """
    batch, steps, classes = logits.shape
    start = torch.full((batch, 1), model.bos, dtype=torch.int64, device=logits.device)
    context = torch.cat([start, logits[:, :-1].argmax(2)], dim=1)  # (N, T)
    before_end = (context == model.eos).cumsum(1) == 0  # (N, T); [BOS] is always included, so no row is empty
    mask = weights.others[:steps, :steps] & before_end[:, None, None]
    characters = torch.embedding(weights.tokens, context)  # (N, T, D)
    characters[:, 1:] += weights.positions[: steps - 1]
    keys, values = weights.characters_kv(characters.flatten(0, 1), (batch, steps)).unbind(0)
    queries = weights.queries[:, :, :steps].expand(batch, -1, -1, -1)
    found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    biased_positions = weights.biased_positions[:steps].repeat(batch, 1)
    states = weights.read(biased_positions, found.transpose(1, 2).flatten(0, 1).flatten(1), image)
    return model.head(model.decoder.norm(states)).view(batch, steps, classes)


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
