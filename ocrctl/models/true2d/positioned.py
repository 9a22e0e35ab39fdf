"""Full cross-attention to a 2-D feature map whose cells know their position."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ocrctl.models.layers.multi_head import FeatureMap, FullCrossAttention
from ocrctl.models.layers.positions import sinusoids


class PositionedCrossAttention(FullCrossAttention):
    """Attention of characters to every cell. Keys have sinusoidal encodings of its row, in one half of the features,
    and of its column, in the other, as in DETR (Carion et al., 2020, appendix A.4, https://arxiv.org/abs/2005.12872).

    A relative position bias tells the encoder how far apart two cells are, but not where a cell is: without encodings
    no character could find its cells. Values have none.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        """Raises as MultiHeadAttention."""
        super().__init__(dim, heads, dropout)
        self.position_scale = nn.Parameter(torch.ones(2))  # of the encodings of rows and columns

    def prepare(self, image: FeatureMap) -> tuple[Tensor | None, ...]:
        """Project the image once for all steps: keys, values, mask, each (N, ...) or None."""
        rows, columns = image.features.shape[2:]
        tokens, half = image.tokens(), image.features.shape[1] // 2
        down, right = (
            scale * sinusoids(count, half, tokens)
            for scale, count in zip(self.position_scale, (rows, columns), strict=True)
        )
        positions = torch.cat([down[:, None].expand(-1, columns, -1), right.expand(rows, -1, -1)], dim=2)  # (h, w, D)
        keys, _ = self.keys_values(tokens + positions.flatten(0, 1))
        _, values = self.keys_values(tokens)
        return keys, values, image.mask()
