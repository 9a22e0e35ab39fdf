"""Maps of a batch while they are drawn, tile by tile, without a size that depends on a value.

How many polygons and tiles there are stands in the shapes of the arrays that were sent, so the host never asks the
device. All tiles of all pictures lie in one list; a part of it is drawn at once, at most `PIXELS`, so that memory stays
below 50 MiB above the maps, and 24 bytes for each row of the list, however many polygons there are or however large;
time goes with the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

PIXELS, PIXELS_CPU = 1 << 20, 1 << 16  # on a CPU no more than its caches hold


@dataclass(frozen=True)
class Part:
    """R tiles, each with one polygon to draw in it."""

    owner: Tensor  # int64 (R,) row of the polygon among those of the whole batch
    place: Tensor  # int64 (R,) row of the tile on the sheet
    x: Tensor  # float32 (R, 1, side) pixels of the map
    y: Tensor  # float32 (R, side, 1)


@dataclass(frozen=True)
class Sheet:
    """Maps of `pictures` pictures, height x width in tiles of `side`; both are multiples of it. Before the tiles of
    each picture lies one that nobody sees: padding is drawn there."""

    pictures: int
    height: int
    width: int
    side: int
    device: torch.device

    @property
    def tiles(self) -> int:
        """Of each picture, with the unseen one."""
        return (self.height // self.side) * (self.width // self.side) + 1

    def blank(self, value: float, dtype: torch.dtype = torch.float32) -> Tensor:
        """Tiles (pictures * tiles, side, side) full of `value`."""
        shape = (self.pictures * self.tiles, self.side, self.side)
        return torch.full(shape, value, dtype=dtype, device=self.device)

    def parts(self, tiles: Tensor, polygons: int) -> Iterator[Part]:
        """tiles: int32 (pictures, K, 2), polygon and tile as `data/targets/packed.py` has them, of `polygons` in each
        picture."""
        picture = torch.arange(self.pictures, device=self.device)[:, None]
        inner = torch.arange(self.side, device=self.device)
        owners = (tiles[..., 0] + picture * polygons).flatten()
        places = (tiles[..., 1] + picture * self.tiles).flatten()
        across = self.width // self.side
        rows = (PIXELS_CPU if self.device.type == "cpu" else PIXELS) // self.side**2
        for owner, place in zip(owners.split(rows), places.split(rows), strict=True) if len(owners) else ():
            tile = place % self.tiles - 1
            x = (tile % across * self.side)[:, None] + inner
            y = (tile // across * self.side)[:, None] + inner
            yield Part(owner, place, x.float()[:, None, :], y.float()[:, :, None])

    def whole(self, drawn: Tensor) -> Tensor:
        """Tiles as `blank` made them to maps (pictures, height, width)."""
        down, across = self.height // self.side, self.width // self.side
        seen = drawn.reshape(self.pictures, self.tiles, self.side, self.side)[:, 1:]
        grid = seen.reshape(self.pictures, down, across, self.side, self.side)
        return grid.transpose(2, 3).reshape(self.pictures, self.height, self.width)


def raise_to(drawn: Tensor, place: Tensor, values: Tensor) -> None:
    """Each row `place` (R,) of `drawn` (rows, ...) becomes the greatest of itself and its values (R, ...)."""
    flat = values.flatten(1)
    drawn.view(len(drawn), -1).scatter_reduce_(0, place[:, None].expand_as(flat), flat, "amax")
