"""Deformable cross-attention: each character samples K points of the feature map around a point of its own.

Zhu et al., "Deformable DETR", 2021, section 4.1 (https://arxiv.org/abs/2010.04159), with one level of features and
learned reference points. Offsets start with zero weights and a spread grid as the bias. A point beyond the image is
moved to its edge with the gradient of the unbounded point (straight-through: Bengio et al., 2013,
https://arxiv.org/abs/1308.3432) where that leads back: a clamp alone would give it none, and it could never come back.
Shapes: N images, Q characters, D features, H heads of width d, K points, h rows and w columns of cells.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.layers.multi_head import FeatureMap
from ocrctl.models.layers.positions import steps_of

CENTRE = 4.0  # characters: the reference point of character t starts at (t + 0.5) / (t + CENTRE) of the width

INSIDE = 1e-3  # cells from the last cell of a row or column to the bound of a point


class Points(NamedTuple):
    """Sampling points. locations: (N, Q, H, K, 2), x and y as shares of the image, unbounded. weights: (N, Q, H, K),
    they sum to 1 over K."""

    locations: Tensor
    weights: Tensor

    def outside(self) -> Tensor:
        """Return bool (N, Q, H, K): the points beyond the image."""
        return ((self.locations < 0) | (self.locations > 1)).any(4)


class DeformableCrossAttention(nn.Module):
    """Cross-attention that samples `points` locations per head (layers.text_decoder.CrossAttention)."""

    def __init__(self, dim: int, heads: int, points: int, steps: int) -> None:
        """`steps`: maximum number of characters, with the end, each with a learned reference point."""
        super().__init__()
        self.heads, self.points = heads, points
        self.value = nn.Linear(dim, dim)
        self.offsets = nn.Linear(dim, heads * points * 2)
        self.weights = nn.Linear(dim, heads * points)
        self.out = nn.Linear(dim, dim)
        self.reference = nn.Parameter(torch.empty(steps, 2))
        self.shift = nn.Linear(dim, 2, bias=False)  # of the reference point, by what is known of the character
        self.watching = False
        self.watched: Points | None = None
        self.reset_points()

    def reset_points(self) -> None:
        """Initialise what decides where to look: offsets on a spread grid, equal weights, reference points where the
        characters of words of unknown length are on average."""
        for layer in (self.offsets, self.weights, self.shift):
            nn.init.zeros_(layer.weight)
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        directions = torch.stack([angles.cos(), angles.sin()], 1)
        directions = directions / directions.abs().amax(1, keepdim=True)  # (H, 2), on a square
        grid = directions[:, None] * torch.arange(1, self.points + 1)[:, None]  # (H, K, 2), in cells
        index = torch.arange(len(self.reference))
        with torch.no_grad():
            self.offsets.bias.copy_(grid.flatten())
            self.weights.bias.zero_()
            self.reference[:, 0] = torch.logit((index + 0.5) / (index + CENTRE))
            self.reference[:, 1] = 0.0  # half the height

    def prepare(self, image: FeatureMap) -> tuple[Tensor | None, ...]:
        """Project the image once for all steps: values (N, H, d, h, w) and the columns of each image."""
        values = self.value(image.features.permute(0, 2, 3, 1)).unflatten(3, (self.heads, -1))  # (N, h, w, H, d)
        return values.permute(0, 3, 4, 1, 2).contiguous(), image.columns  # each head's map in one piece, for all steps

    def find(self, states: Tensor, image: tuple[Tensor | None, ...], first: int | Tensor) -> Points:
        """Return the points of states (N, Q, D) of the output steps from `first` on (layers.positions.steps_of)."""
        values, columns = image
        assert values is not None
        wanted = steps_of(self.reference, first, states.shape[1]) + self.shift(states).float()  # (N, Q, 2)
        x, y = wanted.sigmoid()[:, :, None, None].unbind(4)  # each (N, Q, 1, 1)
        right, down = self.offsets(states).float().unflatten(2, (self.heads, self.points, 2)).unbind(4)
        locations = torch.stack([x + right / _width(values, columns), y + down / values.shape[3]], dim=4)
        weights = self.weights(states).float().unflatten(2, (self.heads, self.points)).softmax(3)
        return Points(locations, weights)

    def look(self, states: Tensor, image: tuple[Tensor | None, ...], first: int | Tensor) -> Tensor:
        """Sample a prepared image for states (N, Q, D) of the output steps from `first` on; returns (N, Q, D)."""
        values, columns = image
        assert values is not None
        points = self.find(states, image, first)
        if self.watching:
            self.watched = Points(points.locations.detach(), points.weights.detach())
        with torch.autocast(values.device.type, enabled=False):
            found = self._sample(values.float(), points, columns)
        out: Tensor = self.out(found.to(states.dtype))
        return out

    def shares(self, states: Tensor, image: tuple[Tensor | None, ...], first: int) -> Tensor:
        """Return how much each cell contributes to the samples, the mean of the heads: (N, Q, h w)."""
        values, _ = image
        assert values is not None
        points, device = self.find(states, image, first), values.device
        x, y = self.cells(points, image)  # each (N, Q, H, K)
        rows, across = values.shape[3:]
        down = (1 - (y[..., None] - torch.arange(rows, device=device)).abs()).clamp(min=0)  # (N, Q, H, K, h)
        right = (1 - (x[..., None] - torch.arange(across, device=device)).abs()).clamp(min=0)
        return torch.einsum("nqhk,nqhkr,nqhkc->nqrc", points.weights / self.heads, down, right).flatten(2)

    @staticmethod
    def cells(points: Points, image: tuple[Tensor | None, ...]) -> tuple[Tensor, Tensor]:
        """Return x and y of the points, bounded, in cells from the centre of the first one; each (N, Q, H, K)."""
        values, columns = image
        assert values is not None
        width, rows = _width(values, columns), values.shape[3]
        x, y = points.locations.unbind(4)
        return bounded(x * width - 0.5, width - 1), bounded(y * rows - 0.5, rows - 1)

    def _sample(self, values: Tensor, points: Points, columns: Tensor | None) -> Tensor:
        """Sample values (N, H, d, h, w) at the points and sum over K; (N, Q, D)."""
        rows, across = values.shape[3:]
        x, y = self.cells(points, (values, columns))
        grid = torch.stack([(2 * x + 1) / across - 1, (2 * y + 1) / rows - 1], dim=4)  # -1 and 1: edges of the map
        grid = grid.permute(0, 2, 1, 3, 4).flatten(0, 1)  # (N H, Q, K, 2)
        maps = values.flatten(0, 1)  # (N H, d, h, w)
        found = F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)  # (N H, d, Q, K)
        weights = points.weights.permute(0, 2, 1, 3).flatten(0, 1)[:, None]  # (N H, 1, Q, K)
        summed = (found * weights).sum(3)  # (N H, d, Q)
        return summed.unflatten(0, (-1, self.heads)).flatten(1, 2).transpose(1, 2)  # (N, Q, D)


class _Bounded(torch.autograd.Function):
    """Bound positions; the gradient is that of the unbounded ones, but for one that moves a position further out."""

    @staticmethod
    def forward(ctx: Any, cells: Tensor, last: Tensor) -> Tensor:
        kept = torch.minimum(cells, last).clamp(min=0)
        ctx.save_for_backward(cells < 0, cells > last)
        return kept

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        before, behind = ctx.saved_tensors
        outward = (before & (gradient > 0)) | (behind & (gradient < 0))  # descent moves against the gradient
        return gradient.masked_fill(outward, 0.0), None


def bounded(cells: Tensor, last: Tensor | int) -> Tensor:
    """Return positions bounded to 0 and INSIDE before `last`.

    A position beyond has the gradient of the unbounded one where a step against it moves the position back, else none:
    outwards nothing changes in what is sampled, so it would move on for ever. The slope of a bilinear sample on a cell
    is that to the next cell, and next to the last one is nothing.
    """
    limit = (last.to(cells.dtype) if isinstance(last, Tensor) else cells.new_full((), last)) - INSIDE
    if not torch.is_grad_enabled():
        return torch.minimum(cells, limit).clamp(min=0)
    found: Tensor = _Bounded.apply(cells, limit)
    return found


def _width(values: Tensor, columns: Tensor | None) -> Tensor | int:
    """Return the columns of each image in cells, (N, 1, 1, 1), or of all of them."""
    return values.shape[4] if columns is None else columns[:, None, None, None].float()
