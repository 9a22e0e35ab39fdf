"""PARSeq decoder: position queries attend to the known characters, then to the image.

Bautista, Atienza, 2022, section 3.1 and figure 3 (https://arxiv.org/abs/2207.06966). With a single layer
the content stream is never updated, so its keys and values are computed once for all permutations, decoding steps and
refinement iterations. Masks are boolean, True attends.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.layers.attention import Dropout, attend, join_heads, split_heads
from ocrctl.models.layers.init import init_transformer

INIT_DEPTH = 12  # as deep as the encoder, so that residual branches start small beside the position queries
KeyValue = tuple[Tensor, Tensor]  # keys and values, each (N, heads, L, D / heads)


class Attention(nn.Module):
    """Multi-head attention with keys and values computed separately; tensors are named as in nn.MultiheadAttention."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.dim, self.heads, self.dropout = dim, heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def queries(self, states: Tensor) -> Tensor:
        """Project normalised states (N, Q, D) to queries (N, heads, Q, D / heads)."""
        return split_heads(F.linear(states, self.in_proj_weight[: self.dim], self.in_proj_bias[: self.dim]), self.heads)

    def keys_values(self, context: Tensor) -> KeyValue:
        """Project normalised context (N, L, D) to keys and values."""
        both = F.linear(context, self.in_proj_weight[self.dim :], self.in_proj_bias[self.dim :])
        keys, values = both.chunk(2, dim=2)
        return split_heads(keys, self.heads), split_heads(values, self.heads)

    def forward(self, queries: Tensor, context: KeyValue, mask: Tensor | None = None) -> Tensor:
        """Attend queries (N or 1, heads, Q, D / heads) to keys and values; mask boolean, broadcast to (N, heads, Q, L),
        True attends. Returns (N, Q, D)."""
        keys, values = context
        queries = queries.expand(keys.shape[0], -1, -1, -1)
        return self.out_proj(join_heads(attend(queries, keys, values, mask, self.dropout if self.training else 0.0)))


class DecoderLayer(nn.Module):
    """Pre-norm decoder layer: attention to the characters, attention to the image, MLP."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads, dropout)
        self.cross_attn = Attention(dim, heads, dropout)
        self.linear1 = nn.Linear(dim, mlp_ratio * dim)
        self.linear2 = nn.Linear(mlp_ratio * dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm_q = nn.LayerNorm(dim)
        self.norm_c = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def content_kv(self, characters: Tensor) -> KeyValue:
        """Project embedded characters (N, L, D) to keys and values."""
        return self.self_attn.keys_values(self.norm_c(characters))

    def image_kv(self, memory: Tensor) -> KeyValue:
        """Project the encoder's memory (N, S, D) to keys and values."""
        return self.cross_attn.keys_values(memory)

    def content_queries(self, queries: Tensor) -> Tensor:
        """Project position queries (N, Q, D) to the queries over the characters, (N, heads, Q, D / heads)."""
        return self.self_attn.queries(self.norm_q(queries))

    def forward(
        self,
        queries: Tensor,
        content: KeyValue,
        image: KeyValue,
        mask: Tensor | None = None,
        projected: Tensor | None = None,
    ) -> Tensor:
        """Map queries (N or 1, Q, D) to states (N, Q, D). `mask`: over the characters, as in Attention. `projected`:
        content_queries(queries), if computed already."""
        projected = self.content_queries(queries) if projected is None else projected
        states = queries + self.dropout(self.self_attn(projected, content, mask))
        states = states + self.dropout(self.cross_attn(self.cross_attn.queries(self.norm1(states)), image))
        hidden = self.dropout(F.gelu(self.linear1(self.norm2(states))))
        return states + self.dropout(self.linear2(hidden))


class Decoder(nn.Module):
    """One decoder layer and a final LayerNorm, under the tensor names of the published weights."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([DecoderLayer(dim, heads, mlp_ratio, dropout)])
        self.norm = nn.LayerNorm(dim)
        init_transformer(self.layers, ("out_proj", "linear2"), INIT_DEPTH)

    @property
    def layer(self) -> DecoderLayer:
        """Return the decoder layer."""
        layer = self.layers[0]
        assert isinstance(layer, DecoderLayer)
        return layer

    def forward(
        self,
        queries: Tensor,
        content: KeyValue,
        image: KeyValue,
        mask: Tensor | None = None,
        projected: Tensor | None = None,
    ) -> Tensor:
        """Run the layer (see DecoderLayer.forward) and the final LayerNorm."""
        return self.norm(self.layer(queries, content, image, mask, projected))


class TokenEmbedding(nn.Module):
    """Token embedding scaled by sqrt(dim) (Vaswani et al., 2017, section 3.4)."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, dim)
        self.scale = dim**0.5
        nn.init.trunc_normal_(self.embedding.weight, std=1 / self.scale)

    def forward(self, ids: Tensor) -> Tensor:
        """Map int64 (N, L) to (N, L, D)."""
        return self.scale * self.embedding(ids)
