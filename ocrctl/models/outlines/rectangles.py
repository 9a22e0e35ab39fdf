"""Minimum-area rectangles of regions, and their corners, for all regions at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rectangles:
    """N rotated rectangles: pixels, and degrees as cv2.minAreaRect gives them."""

    centers: Floats  # (N, 2)
    sizes: Floats  # (N, 2) width, height
    angles: Floats  # (N,)

    @classmethod
    def from_points(cls, groups: Sequence[NDArray[np.integer | np.floating]]) -> Rectangles:
        """Compute the minimum-area rectangle of each of N groups of points (n, 2) or (n, 1, 2), int32 or float32."""
        found = [cv2.minAreaRect(group) for group in groups]
        table = np.array([(*center, *size, angle) for center, size, angle in found], np.float64).reshape(-1, 5)
        return cls(table[:, :2], table[:, 2:4], table[:, 4])

    @classmethod
    def from_expanded_quads(cls, quads: Floats, distance: Floats) -> Rectangles:
        """Compute the minimum-area rectangles of convex quads (N, 4, 2) expanded by distance (N,) with round corners.

        One side is parallel to an edge of the quad, so four are tried.
        """
        along = np.roll(quads, -1, axis=1) - quads
        angles = np.arctan2(along[..., 1], along[..., 0])  # (N, 4)
        axes = np.stack((np.cos(angles), np.sin(angles), -np.sin(angles), np.cos(angles)), -1).reshape(-1, 4, 2, 2)
        projected = np.einsum("neij,npj->neip", axes, quads)  # each corner onto each edge and its normal
        low, high = projected.min(3) - distance[:, None, None], projected.max(3) + distance[:, None, None]
        best = (high - low).prod(2).argmin(1)
        row = np.arange(len(quads))
        low, high, axes = low[row, best], high[row, best], axes[row, best]
        centers = np.einsum("nij,ni->nj", axes, (low + high) / 2)
        return cls(centers, high - low, np.rad2deg(angles[row, best]))

    def __len__(self) -> int:
        return len(self.angles)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Rectangles:
        return Rectangles(self.centers[chosen], self.sizes[chosen], self.angles[chosen])

    def expanded(self, distance: Floats) -> Rectangles:
        """Move each side outwards by distance (N,)."""
        return Rectangles(self.centers, self.sizes + 2 * distance[:, None], self.angles)

    def corners(self) -> Floats:
        """Return the corners (N, 4, 2), clockwise in the image, from the upper one of the two leftmost."""
        turn = np.deg2rad(self.angles)
        across = np.stack((np.cos(turn), np.sin(turn)), -1) * self.sizes[:, :1] / 2
        down = np.stack((-np.sin(turn), np.cos(turn)), -1) * self.sizes[:, 1:] / 2
        quads = self.centers[:, None] + np.stack((-across - down, across - down, across + down, down - across), 1)
        return from_top_left(quads)


def from_top_left(quads: Floats) -> Floats:
    """Rotate the points of clockwise quads (N, 4, 2) to start at the upper one of the two leftmost corners."""
    leftmost = np.argsort(quads[..., 0], axis=1, kind="stable")[:, :2]
    upper = np.take_along_axis(quads[..., 1], leftmost, axis=1).argmin(1)
    start = np.take_along_axis(leftmost, upper[:, None], axis=1)
    return np.take_along_axis(quads, ((start + np.arange(4)) % 4)[..., None], axis=1)
