"""PARSeq decoder for one position at a time, with a key/value cache.

Computes the same values as decoder.Decoder for one query, in fewer and smaller operations. Keys and values of decoded
characters are cached. Those of the image are used where they are computed anyway; else they never are: a head scores
position s of the memory m by q . (W_k m_s + b_k) = (W_k^T q) . m_s + a term that does not depend on s, which the
softmax ignores; and its output is W_v applied to the attention-weighted mean of m, plus b_v. So the heads attend to the
memory itself, as several queries of one wide head (multi-query attention: Shazeer, 2019,
https://arxiv.org/abs/1911.02150; absorbed projections as in DeepSeek-V2, 2024, section 2.1.2,
https://arxiv.org/abs/2405.04434). For few queries this takes far less computation than projecting the whole memory.
Shapes as in model.PARSeq, n remaining rows, H heads of width d, D = H d.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrctl.models.layers.autoregressive import Cache
from ocrctl.models.parseq.decoder import KeyValue
from ocrctl.models.parseq.decoder_weights import DecoderWeights, PARSeqParts, linear_of, norm_of, same


class IncrementalDecoder:
    """Decodes one position per call; holds the memory and the key/value cache of each row."""

    def __init__(
        self,
        model: PARSeqParts,
        weights: DecoderWeights,
        memory: Tensor,
        steps: int,
        beam: int = 1,
        image: KeyValue | None = None,
    ) -> None:
        """weights: those of `model`; memory: (N, S, D), output of the encoder; steps: maximum number of positions;
        beam: rows for each image, one after the other, which attend to one memory; image: keys and values of the
        memory, if computed already."""
        self.weights = weights
        part = torch.clone if torch.compiler.is_compiling() else same
        self.classes = model.head.out_features
        self.steps, self.beam = steps, beam
        self.memory = memory[:, None]  # (n / beam, 1, S, D)
        self.image = image and (part(image[0]), part(image[1]))  # keys and values, each (n / beam, H, S, d)
        self.positions, self.biased_positions = weights.positions[:steps], weights.biased_positions[:steps]
        queries = weights.queries[:, :, :steps].expand(memory.shape[0], -1, -1, -1)
        self.content_queries = queries.split(1, dim=2)  # each (n / beam, own heads, 1, d)
        self.cache: Tensor | None = None  # keys and values of characters, (2, n / beam, own heads, steps beam, d)
        self.ancestors: Tensor | None = None  # of a beam: the row of its image that each character is of, (n, step + 1)
        self.step_positions = self.biased_positions.split(1)
        self.context_positions = (None, *self.positions.split(1))  # of each context position; [BOS] has none
        self.last_norm, self.head = norm_of(model.decoder.norm), linear_of(model.head.weight, model.head.bias)

    def logits(self, token: Tensor, step: int) -> Tensor:
        """Append `token`, int64 (n,), at context position `step` (first [BOS]). Returns logits (n, K) of position
        `step`."""
        keys, values = self._append(token, step)
        queries = self.content_queries[step]
        if self.beam == 1:
            found = F.scaled_dot_product_attention(queries, keys, values)  # (n, own heads, 1, d)
        else:
            mask = self._own_characters(token.shape[0])
            queries = queries.expand(-1, -1, self.beam, -1)
            found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)  # (n / beam, heads, beam, d)
            found = found.transpose(1, 2)
        return self._read(self.step_positions[step], found.reshape(token.shape[0], -1))

    def _read(self, position: Tensor, found: Tensor) -> Tensor:
        """Finish a step: what was found among the characters (n, D) to logits (n, K). position: of the step, (1, D)."""
        weights = self.weights
        if self.image is not None:
            return self.head(self.last_norm(weights.read(position, found, self.image)))
        states = torch.addmm(position, found, weights.own_out)  # (n, D)
        states = states + self._attend_memory(weights.norm1(states))
        return self.head(self.last_norm(states + weights.mlp(weights.norm2(states))))

    def empty_cache(self) -> Cache:
        """Return a cache for all steps, zeros: keys and values, (n, 2, own heads, steps, d)."""
        _, heads, _, width = self.weights.queries.shape
        return (self.memory.new_zeros(self.memory.shape[0] * self.beam, 2, heads, self.steps, width),)

    def loop_logits(self, token: Tensor, step: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """Compute `logits` for `step`, an int64 scalar tensor, with the cache of all steps. Returns logits (n, K) and
        the new cache."""
        rows, order = token.shape[0], torch.arange(self.steps, device=token.device)
        positions = torch.cat([torch.zeros_like(self.positions[:1]), self.positions[:-1]])  # [BOS] has none
        embedded = torch.embedding(self.weights.tokens, token) + positions.index_select(0, step.view(1))
        new = self.weights.own_kv(self.weights.norm_c(embedded)).view(rows, 2, self.weights.own_heads, 1, -1)
        both = torch.where((order == step)[:, None], new, cache[0])
        queries = self.weights.queries.index_select(2, step.view(1)).expand(rows, -1, -1, -1)  # (n, own heads, 1, d)
        keys, values = both.unbind(1)
        found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=(order <= step)[None, None, None])
        return self._read(self.biased_positions.index_select(0, step.view(1)), found.reshape(rows, -1)), (both,)

    def keep_rows(self, rows: Tensor) -> None:
        """Keep only these rows, int64 (n,), all or none of an image, of the memory and the cache."""
        images = rows if self.beam == 1 else rows[:: self.beam] // self.beam
        self.memory = self.memory[images]
        if self.image is not None:
            self.image = self.image[0][images], self.image[1][images]
        self.content_queries = tuple(queries[: len(images)] for queries in self.content_queries)
        assert self.cache is not None
        self.cache = self.cache[:, images]
        if self.ancestors is not None:
            self.ancestors = self.ancestors[rows]

    def reorder_cache(self, rows: Tensor) -> None:
        """Replace the cache of each row by that of row `rows`, int64 (n,), of the same image; the memory is not
        changed."""
        if self.ancestors is not None:  # the cache holds the characters of every row of an image and stays as it is
            self.ancestors = self.ancestors[rows]

    def _append(self, token: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Add `token` to the cache. Returns keys and values (n / beam, own heads, (step + 1) beam, d) of all context
        positions, those of the rows of an image side by side."""
        embedded = torch.embedding(self.weights.tokens, token)
        position = self.context_positions[step]
        if position is not None:
            embedded = embedded + position
        images = token.shape[0] // self.beam
        new = self.weights.characters_kv(embedded, (images, self.beam))
        if self.cache is None:
            _, _, heads, _, width = new.shape
            self.cache = new.new_empty(2, images, heads, self.steps * self.beam, width)
        self.cache.narrow(3, step * self.beam, self.beam).copy_(new)
        if self.beam > 1:
            slots = torch.arange(self.beam, device=token.device).repeat(images)[:, None]
            self.ancestors = slots if self.ancestors is None else torch.cat([self.ancestors, slots], dim=1)
        keys, values = self.cache.narrow(3, 0, (step + 1) * self.beam).unbind(0)
        return keys, values

    def _own_characters(self, rows: int) -> Tensor:
        """Return which cached characters belong to the text of each row, bool (n / beam, 1, beam, (step + 1) beam)."""
        assert self.ancestors is not None
        slots = torch.arange(self.beam, device=self.ancestors.device)
        own = self.ancestors[:, :, None] == slots  # (n, step + 1, beam)
        return own.view(rows // self.beam, 1, self.beam, -1)

    def _attend_memory(self, states: Tensor) -> Tensor:
        """Cross-attention of normalised states (n, D) to the memory itself, (n, D)."""
        rows, weights = states.shape[0], self.weights
        query = weights.query(states).view(rows, weights.heads, -1)  # (n, H, d)
        query = torch.bmm(query.transpose(0, 1), weights.key).transpose(0, 1).unsqueeze(1)  # (n, 1, H, D)
        if self.beam > 1:  # the rows of an image are further queries to its memory
            query = query.reshape(rows // self.beam, 1, -1, query.shape[3])  # (n / beam, 1, beam H, D)
        mixed = F.scaled_dot_product_attention(query, self.memory, self.memory, scale=weights.scale)
        mixed = mixed.reshape(rows, -1, mixed.shape[3])  # (n, H, D)
        found = torch.bmm(mixed.transpose(0, 1), weights.value).transpose(0, 1)  # (n, H, d)
        return weights.absorbed_out(found.reshape(rows, -1))
