"""Multi-head attention with keys and values that are projected once, and the features of an image to attend to."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ocrctl.models.layers.attention import attend, attention_weights, join_heads, split_heads
from ocrctl.models.layers.columns import column_mask

KeyValue = tuple[Tensor, Tensor]
"""keys and values, each (N, heads, L, D / heads)"""


class FeatureMap(NamedTuple):
    """Features (N, D, h, w) of a batch of images. columns: int64 (N,), the first columns of w that belong to each
    image; None: all."""

    features: Tensor
    columns: Tensor | None

    def tokens(self) -> Tensor:
        """Return the features row by row, (N, h w, D)."""
        return self.features.flatten(2).transpose(1, 2)

    def mask(self) -> Tensor | None:
        """Return bool (N, 1, 1, h w), True for the cells that belong to the image of a row; None: all do."""
        if self.columns is None:
            return None
        rows, columns = self.features.shape[2:]
        return column_mask(self.columns, columns)[:, None].expand(-1, rows, -1).flatten(1)[:, None, None]


class MultiHeadAttention(nn.Module):
    """Attention of `heads` heads (section 3.2.2 of the paper that layers.attention names)."""

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        """`dropout`: share of the attention weights dropped in training. Raises ValueError when the heads do not divide
        `dim`."""
        super().__init__()
        if dim % heads:
            raise ValueError(f"{heads} heads do not divide {dim} features")
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def queries(self, states: Tensor) -> Tensor:
        """Project (N, Q, D) to queries (N, heads, Q, D / heads)."""
        return split_heads(self.query(states), self.heads)

    def keys_values(self, context: Tensor) -> KeyValue:
        """Project (N, L, D) to keys and values."""
        keys, values = self.key_value(context).chunk(2, dim=2)
        return split_heads(keys, self.heads), split_heads(values, self.heads)

    def forward(self, states: Tensor, context: KeyValue, mask: Tensor | None = None) -> Tensor:
        """Attend from states (N, Q, D); mask boolean, broadcast to (N, heads, Q, L), True attends. Returns
        (N, Q, D)."""
        rate = self.dropout if self.training else 0.0
        return self.out(join_heads(attend(self.queries(states), *context, mask, rate)))

    def weights(self, states: Tensor, context: KeyValue, mask: Tensor | None = None) -> Tensor:
        """Return the attention weights, float32 (N, heads, Q, L), to be drawn."""
        return attention_weights(self.queries(states), context[0], mask)


class FullCrossAttention(MultiHeadAttention):
    """Attention of characters to every cell of the image."""

    def prepare(self, image: FeatureMap) -> tuple[Tensor | None, ...]:
        """Project the image once for all steps: keys, values, mask, each (N, ...) or None."""
        return (*self.keys_values(image.tokens()), image.mask())

    def look(self, states: Tensor, image: tuple[Tensor | None, ...], first: int | Tensor) -> Tensor:
        """Attend from states (N, Q, D) of the output steps from `first` on to a prepared image; (N, Q, D)."""
        keys, values, mask = image
        assert keys is not None and values is not None
        return self(states, (keys, values), mask)

    def shares(self, states: Tensor, image: tuple[Tensor | None, ...], first: int) -> Tensor:
        """Return the attention weights of the cells, the mean of the heads: (N, Q, h w)."""
        keys, values, mask = image
        assert keys is not None and values is not None
        return self.weights(states, (keys, values), mask).mean(1)
