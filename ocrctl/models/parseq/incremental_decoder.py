"""PARSeq decoder for one position at a time, with a key/value cache.

Computes the same values as decoder.Decoder for one query, in fewer and smaller operations. Keys and values of decoded
characters are cached. Keys and values of the image are never computed: a head scores position s of the memory m by
q . (W_k m_s + b_k) = (W_k^T q) . m_s + a term that does not depend on s, which the softmax ignores; and its output is
W_v applied to the attention-weighted mean of m, plus b_v. So the heads attend to the memory itself, as several queries
of one wide head (multi-query attention: Shazeer, 2019, https://arxiv.org/abs/1911.02150; absorbed projections as in
DeepSeek-V2, 2024, section 2.1.2, https://arxiv.org/abs/2405.04434). For few queries this takes far less computation
than projecting the whole memory. Shapes as in model.PARSeq, n remaining rows, H heads of width d, D = H d.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.parseq.decoder import Decoder, TokenEmbedding

Function = Callable[[Tensor], Tensor]


class PARSeqParts(Protocol):
    """The parts of model.PARSeq that decoding uses."""

    decoder: Decoder
    head: nn.Linear
    text_embed: TokenEmbedding
    pos_queries: nn.Parameter
    bos: int
    eos: int

    def embed(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Embed context tokens (N, L), the first of them at position `start`, to (N, L, D)."""


class IncrementalDecoder:
    """Decodes one position per call; holds the memory and the key/value cache of each row."""

    def __init__(self, model: PARSeqParts, memory: Tensor, steps: int) -> None:
        """memory: (N, S, D), output of the encoder; steps: maximum number of positions."""
        layer = model.decoder.layer
        own, cross = layer.self_attn, layer.cross_attn
        dim, heads = cross.dim, cross.heads
        positions = model.pos_queries[:, :steps]
        self.steps, self.own_heads, self.scale = steps, own.heads, (dim // heads) ** -0.5
        self.memory = memory[:, None]  # (n, 1, S, D)
        queries = layer.content_queries(positions).expand(memory.shape[0], -1, -1, -1)
        self.content_queries = queries.split(1, dim=2)  # each (n, own heads, 1, d)
        self.cache: Tensor | None = None  # keys and values of characters, (2, n, own heads, steps, d)
        self.token_embeddings = model.text_embed.scale * model.text_embed.embedding.weight
        self.context_positions = (None, *positions[0].split(1))  # embedding of each context position; [BOS] has none
        self.position_queries = positions[0].split(1)
        self.norm_c, self.norm1, self.norm2 = _norm(layer.norm_c), _norm(layer.norm1), _norm(layer.norm2)
        self.own_kv = _linear(own.in_proj_weight[dim:], own.in_proj_bias[dim:])
        self.own_out = _linear(own.out_proj.weight, own.out_proj.bias)
        self.query = _linear(cross.in_proj_weight[:dim], cross.in_proj_bias[:dim])
        _, key, value = cross.in_proj_weight.view(3, heads, dim // heads, dim)
        self.key, self.value = key, value.transpose(1, 2)  # (H, d, D), (H, D, d)
        out, out_bias = cross.out_proj.weight, cross.out_proj.bias
        self.cross_out = _linear(out, torch.addmv(out_bias, out, cross.in_proj_bias[2 * dim :]))
        self.linear1 = _linear(layer.linear1.weight, layer.linear1.bias)
        self.linear2 = _linear(layer.linear2.weight, layer.linear2.bias)
        self.last_norm, self.head = _norm(model.decoder.norm), _linear(model.head.weight, model.head.bias)

    def logits(self, token: Tensor, step: int) -> Tensor:
        """Append `token`, int64 (n,), at context position `step` (first [BOS]). Returns logits (n, K) of position
        `step`."""
        keys, values = self._append(token, step)
        found = F.scaled_dot_product_attention(self.content_queries[step], keys, values)  # (n, own heads, 1, d)
        states = self.position_queries[step] + self.own_out(found.reshape(token.shape[0], -1))  # (n, D)
        states = states + self._attend_image(self.norm1(states))
        states = states + self.linear2(F.gelu(self.linear1(self.norm2(states))))
        return self.head(self.last_norm(states))

    def keep_rows(self, rows: Tensor) -> None:
        """Keep only these rows, int64 (n,), of the memory and the cache."""
        self.memory = self.memory[rows]
        self.content_queries = tuple(queries[: len(rows)] for queries in self.content_queries)
        self.reorder_cache(rows)

    def reorder_cache(self, rows: Tensor) -> None:
        """Replace the cache of each row by that of row `rows`, int64 (n,); the memory is not changed."""
        assert self.cache is not None
        self.cache = self.cache[:, rows]

    def _append(self, token: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Add `token` to the cache. Returns keys and values (n, own heads, step + 1, d) of all context positions."""
        embedded = torch.embedding(self.token_embeddings, token)
        position = self.context_positions[step]
        if position is not None:
            embedded = embedded + position
        new = self.own_kv(self.norm_c(embedded)).view(token.shape[0], 2, self.own_heads, -1).transpose(0, 1)
        if torch.compiler.is_compiling():  # an exported graph has no buffer to write into
            new = new.unsqueeze(3)
            self.cache = new if self.cache is None else torch.cat([self.cache, new], dim=3)
        else:
            if self.cache is None:
                self.cache = new.new_empty(*new.shape[:3], self.steps, new.shape[3])
            self.cache.select(3, step).copy_(new)
        keys, values = self.cache.narrow(3, 0, step + 1).unbind(0)
        return keys, values

    def _attend_image(self, states: Tensor) -> Tensor:
        """Cross-attention of normalised states (n, D) to the image, (n, D)."""
        rows = states.shape[0]
        query = self.query(states).view(rows, self.key.shape[0], -1)  # (n, H, d)
        query = torch.bmm(query.transpose(0, 1), self.key).transpose(0, 1).unsqueeze(1)  # (n, 1, H, D)
        mixed = F.scaled_dot_product_attention(query, self.memory, self.memory, scale=self.scale)  # (n, 1, H, D)
        found = torch.bmm(mixed.squeeze(1).transpose(0, 1), self.value).transpose(0, 1)  # (n, H, d)
        return self.cross_out(found.reshape(rows, -1))


def _linear(weight: Tensor, bias: Tensor) -> Function:
    """Build a linear layer without the overhead of a module call, which is noticeable for a single row."""
    transposed = weight.t()
    return lambda states: torch.addmm(bias, states, transposed)


def _norm(norm: nn.LayerNorm) -> Function:
    """Build a LayerNorm without the overhead of a module call."""
    shape, weight, bias, eps = norm.normalized_shape, norm.weight, norm.bias, norm.eps
    return lambda states: torch.layer_norm(states, shape, weight, bias, eps)
