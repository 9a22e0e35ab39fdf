"""Rectangles of least area around regions, and their corners, for all regions at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rectangles:
    """N turned rectangles: pixels, and degrees as cv2.minAreaRect gives them."""

    centers: Floats  # (N, 2)
    sizes: Floats  # (N, 2) width, height
    angles: Floats  # (N,)

    @classmethod
    def around(cls, groups: Sequence[NDArray[np.integer | np.floating]]) -> Rectangles:
        """Of least area around each of N groups of points (n, 2) or (n, 1, 2), int32 or float32."""
        found = [cv2.minAreaRect(group) for group in groups]
        table = np.array([(*center, *size, angle) for center, size, angle in found], np.float64).reshape(-1, 5)
        return cls(table[:, :2], table[:, 2:4], table[:, 4])

    @classmethod
    def least(cls, quads: Floats, distance: Floats) -> Rectangles:
        """Of least area around convex quads (N, 4, 2) grown by distance (N,) with round corners.

        One side runs along an edge, so four are tried.
        """
        along = np.roll(quads, -1, axis=1) - quads
        angles = np.arctan2(along[..., 1], along[..., 0])  # (N, 4)
        axes = np.stack((np.cos(angles), np.sin(angles), -np.sin(angles), np.cos(angles)), -1).reshape(-1, 4, 2, 2)
        places = np.einsum("neij,npj->neip", axes, quads)  # of each corner along and across each edge
        low, high = places.min(3) - distance[:, None, None], places.max(3) + distance[:, None, None]
        best = (high - low).prod(2).argmin(1)
        row = np.arange(len(quads))
        low, high, axes = low[row, best], high[row, best], axes[row, best]
        centers = np.einsum("nij,ni->nj", axes, (low + high) / 2)
        return cls(centers, high - low, np.rad2deg(angles[row, best]))

    def __len__(self) -> int:
        return len(self.angles)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Rectangles:
        return Rectangles(self.centers[chosen], self.sizes[chosen], self.angles[chosen])

    def grown(self, distance: Floats) -> Rectangles:
        """Each side moved outwards by distance (N,)."""
        return Rectangles(self.centers, self.sizes + 2 * distance[:, None], self.angles)

    def corners(self) -> Floats:
        """(N, 4, 2) clockwise as seen, from the upper one of the two leftmost corners."""
        turn = np.deg2rad(self.angles)
        across = np.stack((np.cos(turn), np.sin(turn)), -1) * self.sizes[:, :1] / 2
        down = np.stack((-np.sin(turn), np.cos(turn)), -1) * self.sizes[:, 1:] / 2
        quads = self.centers[:, None] + np.stack((-across - down, across - down, across + down, down - across), 1)
        return from_top_left(quads)


def from_top_left(quads: Floats) -> Floats:
    """Clockwise quads (N, 4, 2), each begun at the upper one of its two leftmost corners."""
    leftmost = np.argsort(quads[..., 0], axis=1, kind="stable")[:, :2]
    upper = np.take_along_axis(quads[..., 1], leftmost, axis=1).argmin(1)
    start = np.take_along_axis(leftmost, upper[:, None], axis=1)
    return np.take_along_axis(quads, ((start + np.arange(4)) % 4)[..., None], axis=1)
