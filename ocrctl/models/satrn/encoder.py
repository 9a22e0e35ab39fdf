"""SATRN encoder: shallow CNN, adaptive 2-D positional encoding, self-attention with locality-aware feed-forward.

Lee et al., 2019, section 3 (https://arxiv.org/abs/1910.04396). Columns of padding never reach a column of an image:
they are 0 wherever a convolution reads them, they do not contribute to the pooled features, and no cell attends to
them. Shapes: N images, D features, h rows and w columns of cells.
"""

from __future__ import annotations

from torch import Tensor, nn

from ocrctl.models.backbones.shallow import ShallowCNN
from ocrctl.models.layers.attention import Dropout
from ocrctl.models.layers.columns import Columns, clear_columns, column_mask
from ocrctl.models.layers.init import init_convolutions, init_transformer
from ocrctl.models.layers.multi_head import FeatureMap, MultiHeadAttention
from ocrctl.models.layers.positions import sinusoids


class AdaptivePositions(nn.Module):
    """Adaptive 2-D positional encoding: how far rows and columns weigh depends on the image (section 3.2.1)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.hidden = nn.Linear(dim, dim // 2)
        self.scales = nn.Linear(dim // 2, 2 * dim)  # of the rows, then of the columns

    def forward(self, features: Tensor, columns: Tensor | None) -> Tensor:
        """Map (N, D, h, w) to the same shape, with the encodings added."""
        rows, width = features.shape[2:]
        if columns is None:
            pooled = features.mean((2, 3))  # (N, D)
        else:
            valid = column_mask(columns, width)[:, None]  # (N, 1, w)
            pooled = (features.mean(2) * valid).sum(2) / columns[:, None]
        scales = self.scales(self.hidden(pooled).relu()).sigmoid()[:, :, None]  # (N, 2 D, 1)
        down, right = scales.chunk(2, dim=1)
        down = down * sinusoids(rows, self.dim, features).t()  # (N, D, h)
        right = right * sinusoids(width, self.dim, features).t()  # (N, D, w)
        return features + down[:, :, :, None] + right[:, :, None]


class LocalityFeedForward(nn.Module):
    """Locality-aware feed-forward: a depthwise 3x3 convolution between two 1x1 convolutions (section 3.2.2)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(dim, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU())
        depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.local = nn.Sequential(depthwise, nn.BatchNorm2d(hidden), nn.ReLU())
        self.project = nn.Sequential(nn.Conv2d(hidden, dim, 1, bias=False), nn.BatchNorm2d(dim))
        init_convolutions(self)

    def forward(self, features: Tensor, columns: Tensor | None) -> Tensor:
        """Map (N, D, h, w) to the same shape."""
        hidden = self.expand(features)
        if columns is not None:
            hidden = clear_columns(hidden, columns)
        out: Tensor = self.project(self.local(hidden))
        return out


class EncoderLayer(nn.Module):
    """Self-attention over all cells, then the locality-aware feed-forward."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.self_attn = MultiHeadAttention(dim, heads, dropout)
        self.feed_forward = LocalityFeedForward(dim, hidden)
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor, rows: int, columns: Tensor | None, mask: Tensor | None) -> Tensor:
        """Map cells (N, h w, D), row by row, to the same shape. mask: bool (N, 1, 1, h w), the cells of each image."""
        normed = self.norm1(states)
        states = states + self.dropout(self.self_attn(normed, self.self_attn.keys_values(normed), mask))
        cells = self.norm2(states).unflatten(1, (rows, -1)).permute(0, 3, 1, 2)  # (N, D, h, w), channels last
        found = self.feed_forward(cells, columns).permute(0, 2, 3, 1).flatten(1, 2)  # (N, h w, D)
        return states + self.dropout(found)


class Encoder(nn.Module):
    """Shallow CNN, positions, self-attention layers, final LayerNorm."""

    takes_columns = True

    def __init__(self, cnn: ShallowCNN, dim: int, heads: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.cnn = cnn
        self.positions = AdaptivePositions(dim)
        self.layers = nn.ModuleList(EncoderLayer(dim, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)
        init_transformer(self.layers, ("out",), layers)
        for layer in self.layers:
            assert isinstance(layer, EncoderLayer)
            norm = layer.feed_forward.project[1]
            assert isinstance(norm, nn.BatchNorm2d)
            nn.init.constant_(norm.weight, (2 * layers) ** -0.5)  # as init_transformer scales the end of a branch

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the prefixes of each layer (OCRModel.layer_depth): CNN and positions, then the layers."""
        return (("cnn.", "positions."), *((f"layers.{index}.",) for index in range(len(self.layers))))

    def forward(self, images: Tensor, columns: Columns | None = None) -> FeatureMap:
        """Map normalised (N, C, H, W) to the features (N, D, h, w)."""
        features, widths = self.cnn(images, None if columns is None else columns.counted)
        rows = features.shape[2]
        features = self.positions(features, widths)
        mask = FeatureMap(features, widths).mask()
        states = self.dropout(features.permute(0, 2, 3, 1).flatten(1, 2))  # (N, h w, D)
        for layer in self.layers:
            states = layer(states, rows, widths, mask)
        states = self.norm(states)
        return FeatureMap(states.unflatten(1, (rows, -1)).permute(0, 3, 1, 2), widths)
