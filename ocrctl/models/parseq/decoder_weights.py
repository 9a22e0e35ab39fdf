"""The weights of the PARSeq decoder as decoding reads them: prepared once, without calls of modules.

For few positions the time of a step is that of small operations, and of reading weights from memory. Shapes as in
model.PARSeq, H heads of width d, D = H d.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.parseq.decoder import Decoder, KeyValue, TokenEmbedding

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


class DecoderWeights:
    """What a step reads of the weights.

    tokens: scaled embeddings (tokens, D). positions: (T, D). biased_positions: with the bias of the first projection,
    (T, D). queries: of the positions over the characters, (1, own heads, T, d).
    """

    def __init__(self, model: PARSeqParts, *, copies: bool = False) -> None:
        """copies: copy the weights into the layout in which a product with a single row is fastest, instead of views.
        They do not follow a later change of the weights; those of the head do."""
        layer = model.decoder.layer
        own, cross = layer.self_attn, layer.cross_attn
        dim, heads = cross.dim, cross.heads
        part = torch.clone if torch.compiler.is_compiling() else same  # a loop must not hold two views of one tensor
        linear = _copied_linear if copies else linear_of
        self.own_heads, self.heads, self.scale = own.heads, heads, (dim // heads) ** -0.5
        self.tokens = model.text_embed.scale * model.text_embed.embedding.weight
        self.positions = model.pos_queries[0]
        self.biased_positions = self.positions + own.out_proj.bias
        self.queries = layer.content_queries(model.pos_queries)
        self.norm_c, self.norm1, self.norm2 = norm_of(layer.norm_c), norm_of(layer.norm1), norm_of(layer.norm2)
        self.own_kv = linear(part(own.in_proj_weight[dim:]), part(own.in_proj_bias[dim:]))
        self.own_out = own.out_proj.weight.t().contiguous() if copies else own.out_proj.weight.t()
        self.query = linear(part(cross.in_proj_weight[:dim]), part(cross.in_proj_bias[:dim]))
        _, key, value = cross.in_proj_weight.view(3, heads, dim // heads, dim)
        self.key, self.value = part(key), part(value).transpose(1, 2)  # (H, d, D), (H, D, d)
        out, bias = cross.out_proj.weight, cross.out_proj.bias
        self.cross_out = linear(out, bias)
        absorbed = torch.addmv(bias, out, cross.in_proj_bias[2 * dim :])  # attention weights sum to 1
        self.absorbed_out = linear(out, absorbed)
        self.mlp = _copied_mlp(layer.linear1, layer.linear2) if copies else _mlp(layer.linear1, layer.linear2)
        steps = len(self.positions)
        square = torch.ones(steps, steps, dtype=torch.bool, device=self.positions.device)
        # The query of position i predicts the token at context position i + 1, which a refinement must not see.
        self.others = ~square.tril(1).triu(1)  # (T, T)

    def characters_kv(self, embedded: Tensor, shape: tuple[int, int]) -> Tensor:
        """Project embedded characters (rows of texts, positions of each: their `shape`; D) to keys and values,
        (2, rows, own heads, positions, d)."""
        rows, positions = shape
        both = self.own_kv(self.norm_c(embedded)).view(rows, positions, 2, self.own_heads, -1)
        return both.permute(2, 0, 3, 1, 4)

    def read(self, biased_positions: Tensor, found: Tensor, image: KeyValue) -> Tensor:
        """Compute the last states (n Q, D) of Q queries for each of n images, from what was found among the
        characters, (n Q, D), and the keys and values of the image, each (n, H, S, d). biased_positions: of the queries,
        (n Q, D) or (1, D)."""
        states = torch.addmm(biased_positions, found, self.own_out)
        queries = self.query(self.norm1(states)).view(image[0].shape[0], -1, self.heads, image[0].shape[3])
        mixed = F.scaled_dot_product_attention(queries.transpose(1, 2), *image)  # (n, H, Q, d)
        states = states + self.cross_out(mixed.transpose(1, 2).flatten(0, 1).flatten(1))
        return states + self.mlp(self.norm2(states))


def same(weight: Tensor) -> Tensor:
    return weight


def linear_of(weight: Tensor, bias: Tensor) -> Function:
    """Build a linear layer without the overhead of a module call, which is noticeable for a single row."""
    transposed = weight.t()
    return lambda states: torch.addmm(bias, states, transposed)


def _copied_linear(weight: Tensor, bias: Tensor) -> Function:
    """Build a linear layer of a copy of its weight, rows by input."""
    rows = weight.t().contiguous()
    return lambda states: torch.addmm(bias, states, rows)


def _mlp(linear1: nn.Linear, linear2: nn.Linear) -> Function:
    first, second = linear_of(linear1.weight, linear1.bias), linear_of(linear2.weight, linear2.bias)
    return lambda states: second(F.gelu(first(states)))


def _copied_mlp(linear1: nn.Linear, linear2: nn.Linear) -> Function:
    """Build the MLP of copies of its weights. GELU of h is c z (1 + erf(z)) with z = c h and c the root of 1/2: both
    factors are multiplied into the weights. For one row, oneDNN takes longer to set up its GELU than to compute it."""
    root = 0.5**0.5
    first = _copied_linear(root * linear1.weight, root * linear1.bias)
    second = _copied_linear(root * linear2.weight, linear2.bias)

    def run(states: Tensor) -> Tensor:
        hidden = first(states)
        return second(torch.addcmul(hidden, hidden, torch.erf(hidden)))

    return run


def norm_of(norm: nn.LayerNorm) -> Function:
    """Build a LayerNorm without the overhead of a module call."""
    shape, weight, bias, eps = norm.normalized_shape, norm.weight, norm.bias, norm.eps
    return lambda states: torch.layer_norm(states, shape, weight, bias, eps)
