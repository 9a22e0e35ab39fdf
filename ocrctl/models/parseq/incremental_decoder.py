"""PARSeq's decoder for one place at a time: what a step of reading needs and no more.

The same numbers as parseq_decoder gives for one query, in fewer and smaller operations. Keys and values of written
characters are kept. Those of the picture are never made: a head scores position s of the memory m by
q . (W_k m_s + b_k) = (W_k^T q) . m_s + a part that is the same for every s, which a softmax ignores; and what it finds
is W_v applied to the mean of m, plus b_v. So the heads meet the memory itself, as many queries of one wide head
(multi-query attention: Shazeer, 2019, https://arxiv.org/abs/1911.02150; the rearrangement as in DeepSeek-V2, 2024,
section 2.1.2, https://arxiv.org/abs/2405.04434). For few queries that is far less work than two products with all of
the memory. Shapes as in parseq.PARSeq, n rows still being read, H heads of width d, D = H d.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.parseq.decoder import Decoder, TokenEmbedding

Function = Callable[[Tensor], Tensor]


class Parts(Protocol):
    """What reading needs of the whole model (parseq.model.PARSeq)."""

    decoder: Decoder
    head: nn.Linear
    text_embed: TokenEmbedding
    pos_queries: nn.Parameter
    bos: int
    eos: int

    def embed(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Context tokens (N, L), the first of them at position `start`, to (N, L, D)."""


class Reader:
    """Asks for place after place; holds the pictures and what was written about each."""

    def __init__(self, model: Parts, memory: Tensor, steps: int) -> None:
        """memory: (N, S, D), what the encoder saw; steps: places to be read, at most."""
        layer = model.decoder.layer
        own, cross = layer.self_attn, layer.cross_attn
        dim, heads = cross.dim, cross.heads
        places = model.pos_queries[:, :steps]
        self.steps, self.own_heads, self.scale = steps, own.heads, (dim // heads) ** -0.5
        self.memory = memory[:, None]  # (n, 1, S, D)
        self.asked = layer.ask(places).expand(memory.shape[0], -1, -1, -1).split(1, dim=2)  # each (n, own heads, 1, d)
        self.written: Tensor | None = None  # keys and values of characters, (2, n, own heads, steps, d)
        self.tokens = model.text_embed.scale * model.text_embed.embedding.weight
        self.before = (None, *places[0].split(1))  # the place of the character at each context position
        self.start = places[0].split(1)
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
        """token: int64 (n,), written at context position `step` (first [BOS]). Returns (n, K) for place `step`."""
        keys, values = self._write(token, step)
        found = F.scaled_dot_product_attention(self.asked[step], keys, values)  # (n, own heads, 1, d)
        states = self.start[step] + self.own_out(found.reshape(token.shape[0], -1))  # (n, D)
        states = states + self._look(self.norm1(states))
        states = states + self.linear2(F.gelu(self.linear1(self.norm2(states))))
        return self.head(self.last_norm(states))

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only, int64 (n,)."""
        self.memory, self.asked = self.memory[rows], tuple(asked[: len(rows)] for asked in self.asked)
        self.follow(rows)

    def follow(self, rows: Tensor) -> None:
        """Each row goes on with what row `rows` (int64, (n,)) has written; the pictures stay."""
        assert self.written is not None
        self.written = self.written[:, rows]

    def _write(self, token: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Keys and values (n, own heads, step + 1, d) of all that is written, `token` now among it."""
        embedded = torch.embedding(self.tokens, token)
        place = self.before[step]
        if place is not None:
            embedded = embedded + place
        new = self.own_kv(self.norm_c(embedded)).view(token.shape[0], 2, self.own_heads, -1).transpose(0, 1)
        if torch.compiler.is_compiling():  # a graph has no memory to write into
            new = new.unsqueeze(3)
            self.written = new if self.written is None else torch.cat([self.written, new], dim=3)
        else:
            if self.written is None:
                self.written = new.new_empty(*new.shape[:3], self.steps, new.shape[3])
            self.written.select(3, step).copy_(new)
        keys, values = self.written.narrow(3, 0, step + 1).unbind(0)
        return keys, values

    def _look(self, states: Tensor) -> Tensor:
        """What the normalised states (n, D) find in the picture, (n, D)."""
        rows = states.shape[0]
        query = self.query(states).view(rows, self.key.shape[0], -1)  # (n, H, d)
        query = torch.bmm(query.transpose(0, 1), self.key).transpose(0, 1).unsqueeze(1)  # (n, 1, H, D)
        seen = F.scaled_dot_product_attention(query, self.memory, self.memory, scale=self.scale)
        found = torch.bmm(seen.squeeze(1).transpose(0, 1), self.value).transpose(0, 1)  # (n, H, d)
        return self.cross_out(found.reshape(rows, -1))


def _linear(weight: Tensor, bias: Tensor) -> Function:
    """A linear layer without the cost of calling a module, which shows where one row is read."""
    turned = weight.t()
    return lambda states: torch.addmm(bias, states, turned)


def _norm(norm: nn.LayerNorm) -> Function:
    """The same for a normalisation."""
    shape, weight, bias, eps = norm.normalized_shape, norm.weight, norm.bias, norm.eps
    return lambda states: torch.layer_norm(states, shape, weight, bias, eps)
