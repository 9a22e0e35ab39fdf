"""Transformer decoder over the characters of a text, pre-norm, with the cross-attention of the family.

Vaswani et al., "Attention Is All You Need", 2017 (https://arxiv.org/abs/1706.03762), with the layer normalisation
before each part (Xiong et al., 2020, https://arxiv.org/abs/2002.04745). Masks are boolean, True attends. Shapes: N
images, L characters, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.layers.attention import Dropout
from ocrctl.models.layers.init import init_transformer
from ocrctl.models.layers.multi_head import FeatureMap, KeyValue, MultiHeadAttention
from ocrctl.models.layers.positions import sinusoids

Prepared = tuple[Tensor | None, ...]
"""what a cross-attention computes once from an image: tensors (N, ...)"""


class CrossAttention(Protocol):
    """Attention of characters to an image: layers.multi_head.FullCrossAttention, or one of a family."""

    def prepare(self, image: FeatureMap) -> Prepared:
        """Compute from the image what all steps share."""

    def look(self, states: Tensor, image: Prepared, first: int) -> Tensor:
        """Map states (N, Q, D) of the output steps from `first` on to (N, Q, D)."""

    def shares(self, states: Tensor, image: Prepared, first: int) -> Tensor:
        """Return how much each cell of the image contributes, (N, Q, h w), the mean of the heads; sums are 1."""


class DecoderLayer(nn.Module):
    """Attention to the characters so far, attention to the image, MLP."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float, cross_attn: CrossAttention) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(dim, heads, dropout)
        assert isinstance(cross_attn, nn.Module)
        self.cross_attn = cross_attn
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor, image: Prepared, mask: Tensor) -> Tensor:
        """Map all states (N, L, D) at once; mask: bool (L, L)."""
        normed = self.norm1(states)
        return self.finish(states, self.self_attn(normed, self.self_attn.keys_values(normed), mask), image, 0)

    def finish(self, states: Tensor, attended: Tensor, image: Prepared, first: int) -> Tensor:
        """Add what was attended to among the characters, then attend to the image, then the MLP; (N, Q, D)."""
        states = states + self.dropout(attended)
        states = states + self.dropout(self.cross_attn.look(self.norm2(states), image, first))
        return states + self.dropout(self.linear2(self.dropout(F.gelu(self.linear1(self.norm3(states))))))


class TextDecoder(nn.Module):
    """Token embedding with sinusoidal positions, decoder layers, a final LayerNorm."""

    def __init__(self, layers: Sequence[DecoderLayer], dim: int, tokens: int, dropout: float) -> None:
        """`tokens`: classes, [BOS] and [PAD]."""
        super().__init__()
        self.scale = dim**0.5
        self.embedding = nn.Embedding(tokens, dim)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=1 / self.scale)
        init_transformer(self.layers, ("out", "linear2"), len(layers))

    def embed(self, tokens: Tensor, first: int = 0) -> Tensor:
        """Embed tokens int64 (N, L) at positions from `first` on, (N, L, D)."""
        embedded = self.scale * self.embedding(tokens)
        return embedded + sinusoids(first + tokens.shape[1], embedded.shape[2], embedded)[first:]

    def forward(self, tokens: Tensor, image: FeatureMap) -> Tensor:
        """Map context tokens int64 (N, L) to states (N, L, D), each from its token and those before. Padding comes
        after a text, so that no state of the text attends to it."""
        states = self.dropout(self.embed(tokens))
        length = tokens.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril()
        for layer in self.decoder_layers:
            states = layer(states, layer.cross_attn.prepare(image), mask)
        return self.norm(states)

    def queries(self, tokens: Tensor, image: FeatureMap) -> Tensor:
        """Return the states (N, L, D) with which the last layer attends to the image; tokens as in `forward`."""
        states = self.embed(tokens)
        mask = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool, device=tokens.device).tril()
        *layers, last = self.decoder_layers
        for layer in layers:
            states = layer(states, layer.cross_attn.prepare(image), mask)
        normed = last.norm1(states)
        return last.norm2(states + last.self_attn(normed, last.self_attn.keys_values(normed), mask))

    @property
    def decoder_layers(self) -> list[DecoderLayer]:
        """Return the layers."""
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]


class IncrementalText:
    """A TextDecoder one character at a time, with a key/value cache (layers.autoregressive.StepDecoder).

    Computes what TextDecoder computes; what the cross-attentions take from the image is computed once.
    """

    def __init__(self, decoder: TextDecoder, head: nn.Module, image: FeatureMap, steps: int, beam: int = 1) -> None:
        """`steps`: maximum number of characters, with the end. `beam`: rows for each image, one after the other."""
        self.decoder, self.head, self.steps = decoder, head, steps
        prepared = [layer.cross_attn.prepare(image) for layer in decoder.decoder_layers]
        self.images = prepared if beam == 1 else [_rows(one, beam) for one in prepared]
        self.caches: list[Tensor | None] = [None] * len(prepared)  # each (2, n, heads, steps, d)

    def logits(self, token: Tensor, step: int) -> Tensor:
        """Append `token`, int64 (n,), at position `step` (first [BOS]); returns logits (n, K)."""
        states = self.decoder.embed(token[:, None], step)  # (n, 1, D)
        for index, layer in enumerate(self.decoder.decoder_layers):
            normed = layer.norm1(states)
            context = self._append(index, layer.self_attn.keys_values(normed), step)
            states = layer.finish(states, layer.self_attn(normed, context), self.images[index], step)
        logits: Tensor = self.head(self.decoder.norm(states))
        return logits.squeeze(1)

    def keep_rows(self, rows: Tensor) -> None:
        """Keep only these rows, int64 (n,), of the images and the caches."""
        self.images = [tuple(None if part is None else part[rows] for part in one) for one in self.images]
        self.reorder_cache(rows)

    def reorder_cache(self, rows: Tensor) -> None:
        """Replace the cache of each row by that of row `rows`, int64 (n,)."""
        self.caches = [None if cache is None else cache[:, rows] for cache in self.caches]

    def _append(self, index: int, new: KeyValue, step: int) -> KeyValue:
        """Add keys and values (n, heads, 1, d) to the cache of a layer; returns those of all positions."""
        both, cache = torch.stack(new), self.caches[index]
        if torch.compiler.is_compiling():  # an exported graph has no buffer to write into
            cache = both if cache is None else torch.cat([cache, both], dim=3)
        else:
            if cache is None:
                cache = both.new_empty(*both.shape[:3], self.steps, both.shape[4])
            cache[:, :, :, step : step + 1] = both
        self.caches[index] = cache
        keys, values = cache[:, :, :, : step + 1].unbind(0)
        return keys, values


def _rows(prepared: Prepared, beam: int) -> Prepared:
    return tuple(None if part is None else part.repeat_interleave(beam, 0) for part in prepared)
