"""True-2D encoder: self-attention over cells with a learned bias for each distance (dh, dw), global or in windows.

Liu et al., "Swin Transformer", 2021, section 3.2 (https://arxiv.org/abs/2103.14030). The bias table has one entry for
each distance within the size that the model is built for; larger feature maps interpolate it. Columns of padding never
reach a column of an image. Shapes: N images, D features, h rows and w columns of cells.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.layers.attention import Dropout
from ocrctl.models.layers.columns import Columns
from ocrctl.models.layers.init import init_transformer
from ocrctl.models.layers.multi_head import FeatureMap, MultiHeadAttention

BIAS_STD = 0.02  # of the bias table, as in Swin's code


class RelativeBias(nn.Module):
    """A learned bias of each head for each distance (dh, dw) between two cells."""

    def __init__(self, heads: int, rows: int, columns: int) -> None:
        """`rows`, `columns`: the largest map without interpolation."""
        super().__init__()
        self.table = nn.Parameter(torch.empty(heads, 2 * rows - 1, 2 * columns - 1))
        nn.init.trunc_normal_(self.table, std=BIAS_STD)

    def forward(self, rows: int, columns: int) -> Tensor:
        """Return the biases of a map of `rows` x `columns` cells: (1, heads, h w, h w)."""
        table = cut_or_stretch(self.table, rows, columns)  # (heads, 2 h - 1, 2 w - 1)
        down, right = (torch.arange(side, device=table.device) for side in (rows, columns))
        dh = (down[:, None] - down + rows - 1)[:, None, :, None]  # (h, 1, h, 1)
        dw = (right[:, None] - right + columns - 1)[None, :, None]  # (1, w, 1, w)
        index = (dh * (2 * columns - 1) + dw).flatten(2).flatten(0, 1)  # (h w, h w)
        return table.flatten(1)[:, index][None]


def cut_or_stretch(table: Tensor, rows: int, columns: int) -> Tensor:
    """Return the part of a table (heads, 2 R - 1, 2 C - 1) for the distances within `rows` x `columns` cells; where
    these are more than R or C, the table is interpolated along that side."""
    return _resample(_resample(table, 1, rows), 2, columns)


def _resample(table: Tensor, side: int, count: int) -> Tensor:
    """`cut_or_stretch` along one side. `count` may be symbolic: no branch depends on it."""
    last = table.shape[side] // 2  # the largest distance in the table
    distances = torch.arange(2 * count - 1, device=table.device) - (count - 1)
    positions = distances * (last / distances[-1].clamp(min=1)).clamp(max=1.0) + last
    before = positions.floor().clamp(0, 2 * last)
    share = (positions - before).to(table.dtype)  # of the entry after
    if side == 1:
        share = share[:, None]
    low = table.index_select(side, before.long())
    high = table.index_select(side, (before.long() + 1).clamp(max=2 * last))
    return low + share * (high - low)


class SelfAttention2D(MultiHeadAttention):
    """Self-attention over the cells of a map, each with all (`window` 0) or with those of its window of `window` x
    `window` cells; `shifted` windows begin half a window earlier, so that two layers connect neighbours."""

    def __init__(
        self, dim: int, heads: int, dropout: float, size: tuple[int, int], window: int, *, shifted: bool, bias: bool
    ) -> None:
        """`size`: rows and columns of the largest map without interpolation of the biases."""
        super().__init__(dim, heads, dropout)
        self.window, self.shifted = window, shifted
        rows, columns = (min(size[0], window), window) if window else size
        self.bias = RelativeBias(heads, rows, columns) if bias else None

    def attend_cells(self, states: Tensor, rows: int, mask: Tensor | None) -> Tensor:
        """Map cells (N, h w, D), row by row, to the same shape. mask: bool (N, 1, 1, h w), the cells of each image."""
        if not self.window:
            return self._attend(states, rows, mask)
        images, cells, dim = states.shape
        high, wide = min(self.window, rows), self.window
        slot, slots = self._slots(rows, cells // rows, high, states.device)
        cell = slot.new_zeros(slots).scatter(0, slot, torch.arange(cells, device=slot.device))  # in each slot
        keys = torch.zeros(slots, dtype=torch.bool, device=slot.device).index_fill(0, slot, True)[None]
        if mask is not None:
            keys = keys & mask.view(images, cells).index_select(1, cell)
        keys = keys.expand(images, slots).reshape(-1, 1, 1, high * wide)
        keys = keys | ~keys.any(3, keepdim=True)  # a window without a cell of the image: what it holds is not used
        windows = states.index_select(1, cell).view(-1, high * wide, dim)
        return self._attend(windows, high, keys).view(images, slots, dim).index_select(1, slot)

    def _slots(self, rows: int, columns: int, high: int, device: torch.device) -> tuple[Tensor, int]:
        """Return the slot of each cell when all cells are sorted by window, int64 (h w,), and the number of slots:
        `high` x `window` for each window, some of them empty at the edges. `columns` may be symbolic."""
        wide = self.window
        above, left = (0 if high == rows else high // 2, wide // 2) if self.shifted else (0, 0)
        down, right = ((rows + above + high - 1) // high, (columns + left + wide - 1) // wide)  # windows
        row, column = (torch.arange(side, device=device) for side in (rows, columns))
        row, column = (row + above)[:, None], column + left
        window = row // high * right + column // wide
        return ((window * high + row % high) * wide + column % wide).flatten(), down * right * high * wide

    def _attend(self, states: Tensor, rows: int, mask: Tensor | None) -> Tensor:
        scores = mask
        if self.bias is not None:
            scores = self.bias(rows, states.shape[1] // rows)
            scores = scores if mask is None else torch.where(mask, scores, -torch.inf)
        return self(states, self.keys_values(states), scores)


class EncoderLayer(nn.Module):
    """2-D self-attention, then an MLP; layer normalisation before each."""

    def __init__(self, dim: int, hidden: int, attention: SelfAttention2D, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.self_attn = attention
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.dropout = Dropout(dropout)

    def forward(self, states: Tensor, rows: int, mask: Tensor | None) -> Tensor:
        """Map cells (N, h w, D) to the same shape; mask as in SelfAttention2D."""
        states = states + self.dropout(self.self_attn.attend_cells(self.norm1(states), rows, mask))
        return states + self.dropout(self.linear2(self.dropout(F.gelu(self.linear1(self.norm2(states))))))


class Encoder(nn.Module):
    """Backbone, projection to D features, self-attention layers, final LayerNorm."""

    takes_columns = True

    def __init__(self, backbone: nn.Module, channels: int, dim: int, layers: list[EncoderLayer]) -> None:
        """`backbone`: maps images and widths to features (N, `channels`, h, w) and the columns of each image."""
        super().__init__()
        self.backbone = backbone
        self.project = nn.Conv2d(channels, dim, 1)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(dim)
        init_transformer(self.layers, ("out", "linear2"), len(layers))

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the prefixes of each layer (OCRModel.layer_depth): backbone and projection, then the layers."""
        return (("backbone.", "project."), *((f"layers.{index}.",) for index in range(len(self.layers))))

    def forward(self, images: Tensor, columns: Columns | None = None) -> FeatureMap:
        """Map normalised (N, C, H, W) to the features (N, D, h, w)."""
        features, widths = self.backbone(images, None if columns is None else columns.counted)
        features = self.project(features)
        rows = features.shape[2]
        mask = FeatureMap(features, widths).mask()
        states = features.permute(0, 2, 3, 1).flatten(1, 2)  # (N, h w, D)
        for layer in self.layers:
            states = layer(states, rows, mask)
        states = self.norm(states)
        return FeatureMap(states.unflatten(1, (rows, -1)).permute(0, 3, 1, 2), widths)
