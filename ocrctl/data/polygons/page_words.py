"""Words of one image in flat arrays, transformed and cropped together with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ocrctl.data.polygons.fixes import repair, signed_area
from ocrctl.data.polygons.rules import SMALLEST_HEIGHT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WHOLE = 0.95  # minimum visible share of a word's area at which it keeps its text
HALF = 0.5  # visible share below which a word is ignored


@dataclass(frozen=True)
class PageWords:
    """N words of an image. Coordinates are pixels, x right, y down, (0, 0) the corner of the first pixel.

    An empty text is unknown: the data set has no texts, or the image's edge cuts the word. A word has either one quad
    per character or none.
    """

    points: Floats  # (P, 2)
    offsets: Ints  # (N + 1,) word i owns points[offsets[i]:offsets[i + 1]]
    ignore: NDArray[np.bool_]  # (N,) neither trained on nor scored
    texts: list[str]
    characters: Floats  # (C, 4, 2) from the top left of the character, clockwise
    character_offsets: Ints  # (N + 1,) word i owns characters[character_offsets[i]:character_offsets[i + 1]]

    def __len__(self) -> int:
        return len(self.texts)

    def polygon(self, index: int) -> Floats:
        """Return the points (n, 2) of word `index`."""
        return self.points[self.offsets[index] : self.offsets[index + 1]]

    def boxes(self) -> Floats:
        """Return (N, 4) left, top, right, bottom of the boxes around the words."""
        if not len(self):
            return np.zeros((0, 4))
        starts = self.offsets[:-1]
        return np.hstack((np.minimum.reduceat(self.points, starts), np.maximum.reduceat(self.points, starts)))

    def areas(self) -> Floats:
        """Return (N,) areas in square pixels."""
        if not len(self):
            return np.zeros(0)
        after = self._after()
        cross = self.points[:, 0] * after[:, 1] - after[:, 0] * self.points[:, 1]
        return np.asarray(np.abs(np.add.reduceat(cross, self.offsets[:-1])) / 2)

    def heights(self) -> Floats:
        """Return (N,) text heights: the shorter side of a strip with the area and the perimeter of the word."""
        if not len(self):
            return np.zeros(0)
        steps = np.hypot(*(self._after() - self.points).T)
        half = np.add.reduceat(steps, self.offsets[:-1]) / 2
        return strip_height(self.areas(), half)

    def moved(self, matrix: Floats) -> PageWords:
        """Return the words in the pixels of an image that was warped by `matrix` (3, 3)."""
        characters = transform(self.characters.reshape(-1, 2), matrix).reshape(-1, 4, 2)
        return replace(self, points=transform(self.points, matrix), characters=characters)

    def within(self, height: int, width: int) -> PageWords:
        """Return the words that are visible in an image of this size, in their order.

        A word at the edge is clipped; unless 95 % of it is visible, its text becomes unknown, and below a half it is
        ignored. Words outside the image are removed, and so are words of which less than a half and less than three
        pixels' height remain. Characters are kept while any part of them is visible.
        """
        boxes = self.boxes()
        inside = (boxes[:, :2] >= 0).all(1) & (boxes[:, 2] <= width) & (boxes[:, 3] <= height)
        if inside.all():
            return self
        gone = (boxes[:, 2:] <= 0).any(1) | (boxes[:, 0] >= width) | (boxes[:, 1] >= height)
        parts = [self.polygon(index) for index in range(len(self))]
        texts, ignore = list(self.texts), self.ignore.copy()
        frame = shapely.box(0, 0, width, height)
        for index in np.flatnonzero(~inside & ~gone).tolist():
            visible, share = _clipped(parts[index], frame)
            low = strip_height(
                abs(signed_area(visible)), float(np.hypot(*(visible - np.roll(visible, 1, axis=0)).T).sum() / 2)
            )
            gone[index] = share == 0 or (share < HALF and low < SMALLEST_HEIGHT)
            parts[index] = visible
            if share < WHOLE:
                texts[index] = ""
                ignore[index] |= share < HALF
        keep = np.flatnonzero(~gone).tolist()
        return PageWords.of(
            [parts[i] for i in keep],
            ignore[keep],
            [texts[i] for i in keep],
            [self._visible_characters(i, width, height) for i in keep],
        )

    def _visible_characters(self, index: int, width: int, height: int) -> Floats:
        quads = self.characters[self.character_offsets[index] : self.character_offsets[index + 1]]
        return quads[((quads.max(1) > 0) & (quads.min(1) < (width, height))).all(1)]

    def _after(self) -> Floats:
        """Return for each point the next one of its word."""
        after = np.roll(self.points, -1, axis=0)
        after[self.offsets[1:] - 1] = self.points[self.offsets[:-1]]
        return after

    @staticmethod
    def of(
        polygons: Sequence[Floats], ignore: Sequence[bool] | NDArray[np.bool_], texts: list[str],
        characters: Sequence[Floats],
    ) -> PageWords:  # fmt: skip
        """Build from one item per word: points (n, 2), flag, text, quads (c, 4, 2)."""
        return PageWords(
            np.concatenate([*polygons, np.zeros((0, 2))]),
            _ends([len(polygon) for polygon in polygons]),
            np.asarray(ignore, np.bool_).reshape(-1),
            texts,
            np.concatenate([*characters, np.zeros((0, 4, 2))]),
            _ends([len(quads) for quads in characters]),
        )

    @staticmethod
    def joined(parts: Sequence[PageWords]) -> PageWords:
        """Join the words of several parts of one image."""
        return PageWords(
            np.concatenate([part.points for part in parts]),
            _ends(np.concatenate([np.diff(part.offsets) for part in parts])),
            np.concatenate([part.ignore for part in parts]),
            [text for part in parts for text in part.texts],
            np.concatenate([part.characters for part in parts]),
            _ends(np.concatenate([np.diff(part.character_offsets) for part in parts])),
        )


def strip_height(area: Any, half: Any) -> Any:
    """Return the shorter side of a rectangle with this area and half perimeter; for numbers or arrays."""
    return area / np.maximum(half / 2 + np.sqrt(np.maximum(half * half / 4 - area, 0)), 1e-9)


def transform(points: Floats, matrix: Floats) -> Floats:
    """Apply a perspective `matrix` (3, 3) to points (n, 2)."""
    visible = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(visible[:, :2] / visible[:, 2:])


def _ends(counts: Sequence[int] | Ints) -> Ints:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def _clipped(points: Floats, frame: shapely.Polygon) -> tuple[Floats, float]:
    """Return the largest part of a polygon within `frame`, and the share of its area that is within."""
    whole = shapely.Polygon(points)
    if not whole.is_valid:  # clean polygons may touch themselves after rounding
        whole = shapely.make_valid(whole)
    visible = shapely.get_parts(shapely.intersection(whole, frame))
    areas = shapely.area(visible)  # 0 for points and lines where a word only touches the frame
    if not len(visible) or areas.max() <= 0:
        return points, 0.0
    corners = repair(
        shapely.get_coordinates(visible[int(np.argmax(areas))].exterior)[:-1]
    )  # a cut corner may be a spike
    if not len(corners):
        return points, 0.0
    if signed_area(corners) * signed_area(points) < 0:
        corners = corners[::-1]
    first = int(np.argmin(np.abs(corners - points[0]).sum(1)))  # keep the word's first point
    return np.roll(corners, -first, axis=0), float(areas.sum() / max(whole.area, 1e-9))
