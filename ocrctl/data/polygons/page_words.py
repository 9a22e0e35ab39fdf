"""The words of one picture in flat arrays, moved and cut together with it."""

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

WHOLE = 0.95  # share of a word's area that must be seen for its text to be all there
HALF = 0.5  # share below which what is seen of a word is not called text any more


@dataclass(frozen=True)
class PageWords:
    """N words of a picture. Coordinates are pixels, x right, y down, (0, 0) the corner of the first pixel.

    An empty text is unknown: of a set without texts, or of a word that the edge of the picture cuts. A word has either
    one quad for each character or none.
    """

    points: Floats  # (P, 2)
    offsets: Ints  # (N + 1,) word i owns points[offsets[i]:offsets[i + 1]]
    ignore: NDArray[np.bool_]  # (N,) not to be learnt and not to be held against a model
    texts: list[str]
    characters: Floats  # (C, 4, 2) from the top left of the character, clockwise as it is read
    character_offsets: Ints  # (N + 1,) word i owns characters[character_offsets[i]:character_offsets[i + 1]]

    def __len__(self) -> int:
        return len(self.texts)

    def polygon(self, index: int) -> Floats:
        """Points (n, 2) of word `index`."""
        return self.points[self.offsets[index] : self.offsets[index + 1]]

    def boxes(self) -> Floats:
        """(N, 4) left, top, right, bottom of the upright boxes around the words."""
        if not len(self):
            return np.zeros((0, 4))
        starts = self.offsets[:-1]
        return np.hstack((np.minimum.reduceat(self.points, starts), np.maximum.reduceat(self.points, starts)))

    def areas(self) -> Floats:
        """(N,) square pixels."""
        if not len(self):
            return np.zeros(0)
        after = self._after()
        cross = self.points[:, 0] * after[:, 1] - after[:, 0] * self.points[:, 1]
        return np.asarray(np.abs(np.add.reduceat(cross, self.offsets[:-1])) / 2)

    def heights(self) -> Floats:
        """(N,) the shorter side of a strip with the area and the perimeter of the word: the height of its letters."""
        if not len(self):
            return np.zeros(0)
        steps = np.hypot(*(self._after() - self.points).T)
        half = np.add.reduceat(steps, self.offsets[:-1]) / 2
        return strip_height(self.areas(), half)

    def moved(self, matrix: Floats) -> PageWords:
        """The words as they stand in a picture that was warped by `matrix` (3, 3)."""
        characters = transform(self.characters.reshape(-1, 2), matrix).reshape(-1, 4, 2)
        return replace(self, points=transform(self.points, matrix), characters=characters)

    def within(self, height: int, width: int) -> PageWords:
        """The words as a picture of this size shows them, in their order.

        A word that the edge cuts is clipped to what is seen of it; unless 95 % are, its text is unknown from then on,
        and below a half it is ignored. Out of sight a word is gone, and so is one of which less than a half and less
        than three pixels' height are left. Characters stay while any of them is seen.
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
            seen, share = _clipped(parts[index], frame)
            low = strip_height(abs(signed_area(seen)), float(np.hypot(*(seen - np.roll(seen, 1, axis=0)).T).sum() / 2))
            gone[index] = share == 0 or (share < HALF and low < SMALLEST_HEIGHT)
            parts[index] = seen
            if share < WHOLE:
                texts[index] = ""
                ignore[index] |= share < HALF
        keep = np.flatnonzero(~gone).tolist()
        return PageWords.of(
            [parts[i] for i in keep],
            ignore[keep],
            [texts[i] for i in keep],
            [self._seen_characters(i, width, height) for i in keep],
        )

    def _seen_characters(self, index: int, width: int, height: int) -> Floats:
        quads = self.characters[self.character_offsets[index] : self.character_offsets[index + 1]]
        return quads[((quads.max(1) > 0) & (quads.min(1) < (width, height))).all(1)]

    def _after(self) -> Floats:
        """Of each point the next one around its word."""
        after = np.roll(self.points, -1, axis=0)
        after[self.offsets[1:] - 1] = self.points[self.offsets[:-1]]
        return after

    @staticmethod
    def of(
        polygons: Sequence[Floats], ignore: Sequence[bool] | NDArray[np.bool_], texts: list[str],
        characters: Sequence[Floats],
    ) -> PageWords:  # fmt: skip
        """From one item for each word: points (n, 2), flag, text, quads (c, 4, 2)."""
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
        """The words of several parts of one picture."""
        return PageWords(
            np.concatenate([part.points for part in parts]),
            _ends(np.concatenate([np.diff(part.offsets) for part in parts])),
            np.concatenate([part.ignore for part in parts]),
            [text for part in parts for text in part.texts],
            np.concatenate([part.characters for part in parts]),
            _ends(np.concatenate([np.diff(part.character_offsets) for part in parts])),
        )


def strip_height(area: Any, half: Any) -> Any:
    """The shorter side of a rectangle with this area and half this way around it; for numbers or arrays."""
    return area / np.maximum(half / 2 + np.sqrt(np.maximum(half * half / 4 - area, 0)), 1e-9)


def transform(points: Floats, matrix: Floats) -> Floats:
    """Points (n, 2) through a perspective `matrix` (3, 3)."""
    seen = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(seen[:, :2] / seen[:, 2:])


def _ends(counts: Sequence[int] | Ints) -> Ints:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)


def _clipped(points: Floats, frame: shapely.Polygon) -> tuple[Floats, float]:
    """The largest part of a polygon within `frame`, and the share of its area that all such parts have."""
    whole = shapely.Polygon(points)
    if not whole.is_valid:  # clean polygons may touch themselves once they are rounded
        whole = shapely.make_valid(whole)
    seen = shapely.get_parts(shapely.intersection(whole, frame))
    areas = shapely.area(seen)  # 0 for the points and lines in which a word may touch the frame
    if not len(seen) or areas.max() <= 0:
        return points, 0.0
    corners = repair(shapely.get_coordinates(seen[int(np.argmax(areas))].exterior)[:-1])  # a cut corner may be a spike
    if not len(corners):
        return points, 0.0
    if signed_area(corners) * signed_area(points) < 0:
        corners = corners[::-1]
    first = int(np.argmin(np.abs(corners - points[0]).sum(1)))  # begin where the word begins
    return np.roll(corners, -first, axis=0), float(areas.sum() / max(whole.area, 1e-9))
