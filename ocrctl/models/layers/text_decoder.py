"""Transformer decoder over the characters of a text, pre-norm, with the cross-attention of the family.

Vaswani et al., "Attention Is All You Need", 2017 (https://arxiv.org/abs/1706.03762), with the layer normalisation
before each part (Xiong et al., 2020, https://arxiv.org/abs/2002.04745). Masks are boolean, True attends. Shapes: N
images, L characters, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.layers.attention import Dropout
from ocrctl.models.layers.autoregressive import Cache
from ocrctl.models.layers.init import init_transformer
from ocrctl.models.layers.multi_head import FeatureMap, MultiHeadAttention
from ocrctl.models.layers.positions import sinusoids, steps_of

Prepared = tuple[Tensor | None, ...]
"""what a cross-attention computes once from an image: tensors (N, ...)"""


class CrossAttention(Protocol):
    """Attention of characters to an image: layers.multi_head.FullCrossAttention, or one of a family."""

    def prepare(self, image: FeatureMap) -> Prepared:
        """Compute from the image what all steps share."""

    def look(self, states: Tensor, image: Prepared, first: int | Tensor) -> Tensor:
        """Map states (N, Q, D) of the output steps from `first` on to (N, Q, D); `first` as in
        layers.positions.steps_of."""

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

    def finish(self, states: Tensor, attended: Tensor, image: Prepared, first: int | Tensor) -> Tensor:
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

    def embed(self, tokens: Tensor) -> Tensor:
        """Embed tokens int64 (N, L) at positions from 0 on, (N, L, D)."""
        embedded = self.scale * self.embedding(tokens)
        return embedded + sinusoids(tokens.shape[1], embedded.shape[2], embedded)

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
    """A TextDecoder one character at a time, with a key/value cache (layers.autoregressive.LoopDecoder).

    Computes what TextDecoder computes; what the cross-attentions take from the image is computed once.
    """

    def __init__(self, decoder: TextDecoder, head: nn.Linear, image: FeatureMap, steps: int, beam: int = 1) -> None:
        """`steps`: maximum number of characters, with the end. `beam`: rows for each image, one after the other, which
        attend to one prepared image."""
        self.decoder, self.head, self.steps, self.classes = decoder, head, steps, head.out_features
        self.layers = decoder.decoder_layers
        self.positions = sinusoids(steps, decoder.embedding.embedding_dim, image.features)
        prepared = [layer.cross_attn.prepare(image) for layer in self.layers]
        if torch.compiler.is_compiling():  # a loop must not hold two views of one tensor
            prepared = [_each(torch.clone, one) for one in prepared]
        self.images, self.beam = prepared, beam
        self.rows = image.features.shape[0] * beam
        self.caches: list[Tensor | None] = [None] * len(prepared)  # each (2, n, heads, steps, d)

    def logits(self, token: Tensor, step: int) -> Tensor:
        """Append `token`, int64 (n,), at position `step` (first [BOS]); returns logits (n, K)."""

        def extend(index: int, new: Tensor) -> tuple[Tensor, None]:
            cache = self.caches[index]
            if torch.compiler.is_compiling():  # an unrolled loop has no buffer to write into
                cache = new if cache is None else torch.cat([cache, new], dim=3)
            else:
                if cache is None:
                    cache = new.new_empty(*new.shape[:3], self.steps, new.shape[4])
                cache[:, :, :, step : step + 1] = new
            self.caches[index] = cache
            return cache[:, :, :, : step + 1], None

        return self._step(token, step, extend)

    def empty_cache(self) -> Cache:
        """Return a cache for all steps: zeros, keys and values (2, n, heads, steps, d) of each layer."""
        attention = [layer.self_attn for layer in self.layers]
        width = self.positions.shape[1]
        return tuple(
            self.positions.new_zeros(2, self.rows, one.heads, self.steps, width // one.heads) for one in attention
        )

    def loop_logits(self, token: Tensor, step: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Compute `logits` for `step`, an int64 scalar tensor. Returns logits (n, K) and the new cache."""
        order, found = torch.arange(self.steps, device=token.device), list(cache)

        def extend(index: int, new: Tensor) -> tuple[Tensor, Tensor]:
            found[index] = torch.where((order == step)[:, None], new, cache[index])
            return found[index], (order <= step)[None, None, None]

        return self._step(token, step, extend), tuple(found)

    def keep_rows(self, rows: Tensor) -> None:
        """Keep only these rows, int64 (n,), all or none of an image, of the images and the caches."""
        images = rows if self.beam == 1 else rows[:: self.beam] // self.beam
        self.images = [_each(lambda part: part[images], one) for one in self.images]
        self.reorder_cache(rows)

    def reorder_cache(self, rows: Tensor) -> None:
        """Replace the cache of each row by that of row `rows`, int64 (n,)."""
        self.caches = [None if cache is None else cache[:, rows] for cache in self.caches]

    def _step(
        self, token: Tensor, step: int | Tensor, extend: Callable[[int, Tensor], tuple[Tensor, Tensor | None]]
    ) -> Tensor:
        """Compute the logits (n, K) of a step. extend: adds keys and values (2, n, heads, 1, d) to the cache of a
        layer; returns those of all positions (2, n, heads, L, d), and which of them are attended to (None: all)."""
        embedded = self.decoder.scale * self.decoder.embedding(token[:, None])
        states = embedded + steps_of(self.positions, step, 1)  # (n, 1, D)
        for index, layer in enumerate(self.layers):
            normed = layer.norm1(states)
            both, mask = extend(index, torch.stack(layer.self_attn.keys_values(normed)))
            keys, values = both.unbind(0)
            attended = layer.self_attn(normed, (keys, values), mask)
            if self.beam == 1:
                states = layer.finish(states, attended, self.images[index], step)
            else:  # the rows of an image are states of one step
                grouped = states.view(-1, self.beam, states.shape[2])
                at = torch.full((), int(step), dtype=torch.int64, device=token.device)
                states = layer.finish(grouped, attended.view_as(grouped), self.images[index], at).flatten(0, 1)[:, None]
        logits: Tensor = self.head(self.decoder.norm(states))
        return logits.squeeze(1)


def _each(change: Callable[[Tensor], Tensor], prepared: Prepared) -> Prepared:
    """Change every tensor of what a cross-attention prepared."""
    return tuple(None if part is None else change(part) for part in prepared)
