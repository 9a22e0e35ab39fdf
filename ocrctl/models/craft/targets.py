"""Targets of CRAFT: the probability that each cell is the centre of a character, and of the gap between two.

Baek et al., "Character Region Awareness for Text Detection", 2019 (https://arxiv.org/abs/1904.01941), section 3.2.1: an
isotropic Gaussian, warped by perspective into each quad. The paper gives no width; as in its authors' training code the
quad is made 1.5 times as large and the Gaussian's deviation is two fifths of half its sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.polygons.distance import Floats, Ints, Outlines, outlines, windows
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.models.craft.characters import links, split

STRIDE = 2  # pixels of the input for a cell of the maps
LARGER = 1.5
DEVIATION = 0.4  # of half a side of the enlarged quad
FLAT = 0.05  # square cells: a quad of less is skipped
_CHUNK = 1 << 18  # cells processed together


def craft_targets(
    points: Floats,
    offsets: Ints,
    ignore: NDArray[np.bool_],
    height: int,
    width: int,
    *,
    texts: Sequence[str],
    characters: Floats | None = None,
    character_offsets: Ints | None = None,
) -> dict[str, NDArray[np.float32] | NDArray[np.uint8]]:
    """Compute the region and affinity maps of one image, at half of height and width (rounded up).

    points (P, 2) pixels of the input, offsets (N + 1,), ignore (N,), texts (N,), "" unknown; characters (C, 4, 2) and
    character_offsets (N + 1,) of datasets that have them. Other words are split by the estimated widths of their text.
    Returns `region` and `affinity` float32 0 to 1, and `mask` uint8, 0 over ignored words and those of which neither
    characters nor text are known. Raises ValueError for polygons of fewer than three points or numbers not finite.
    """
    size = -(-height // STRIDE), -(-width // STRIDE)
    shapes, ignored, regions, affinities = _quads(points, offsets, ignore, texts, characters, character_offsets)
    care = shapes.care_mask(ignored, *size)
    return {"region": gaussians(regions, *size), "affinity": gaussians(affinities, *size), "mask": care}


def page_targets(words: PageWords, height: int, width: int) -> dict[str, NDArray[np.float32] | NDArray[np.uint8]]:
    """Compute `craft_targets` of the words of an image, from their characters, or else from their texts."""
    return craft_targets(
        words.points, words.offsets, words.ignore, height, width,
        texts=words.texts, characters=words.characters, character_offsets=words.character_offsets,
    )  # fmt: skip


def _quads(
    points: Floats, offsets: Ints, ignore: NDArray[np.bool_], texts: Sequence[str], characters: Floats | None,
    character_offsets: Ints | None,
) -> tuple[Outlines, Ints, Floats, Floats]:  # fmt: skip
    """Return in cells: the words, which of them are ignored, quads of characters and of the links between them."""
    shapes = outlines(np.asarray(points, np.float64) / STRIDE, offsets)
    parts: list[Floats] = []
    for index in range(len(shapes)):
        quads = np.zeros((0, 4, 2))
        if not ignore[index]:
            if characters is not None and character_offsets is not None:
                quads = characters[character_offsets[index] : character_offsets[index + 1]] / STRIDE
            if not len(quads) and texts[index]:
                quads = split(shapes.polygon(index), texts[index])
        parts.append(quads)
    regions = np.concatenate([*parts, np.zeros((0, 4, 2))])
    if not np.isfinite(regions).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(regions))} coordinates of characters are not finite")
    counts = [len(part) for part in parts]
    return shapes, np.flatnonzero(np.array(counts) == 0), regions, links(regions, np.cumsum([0, *counts]))


def gaussians(quads: Floats, height: int, width: int) -> NDArray[np.float32]:
    """Draw a map (height, width): the maximum of the Gaussians warped into quads (C, 4, 2), 0 outside all."""
    result = np.zeros(height * width, np.float32)
    inverse, low, high = _blobs(quads, height, width)
    groups = np.cumsum((high - low).prod(1)) // _CHUNK
    for group in np.unique(groups):
        chosen = np.flatnonzero(groups == group)
        _draw_group(result, inverse[chosen], low[chosen], high[chosen], width)
    return result.reshape(height, width)


def _blobs(quads: Floats, height: int, width: int) -> tuple[Floats, Ints, Ints]:
    """Return for the quads with an area in the image: matrices from the enlarged quads to the square from -1 to 1, and
    their windows (`distance.windows`)."""
    middle = quads.mean(1, keepdims=True)
    quads = middle + (_usable(quads) - middle) * LARGER
    inverse, fine = _to_square(quads)
    low, high = windows(np.ceil(quads.min(1)), quads.max(1), height, width)
    fine &= (high > low).all(1)
    return inverse[fine], low[fine], high[fine]


def _draw_group(result: NDArray[np.float32], inverse: Floats, low: Ints, high: Ints, width: int) -> None:
    """Draw all Gaussians of a group: quad by quad, row by row, cell by cell in flat arrays."""
    across, down = (high - low).T
    quad = np.repeat(np.arange(len(down)), down)  # of each row
    y = np.arange(len(quad)) - np.repeat(np.cumsum(down) - down, down) + low[quad, 1]
    m, left, cells = inverse.reshape(-1, 9).T[:, quad], low[quad, 0], across[quad]
    starts = np.cumsum(cells) - cells
    cell = np.arange(cells.sum())
    step = (cell - np.repeat(starts, cells)).astype(np.float32)
    # Along a row, numerators and denominator of the perspective grow by the same amount from cell to cell.
    u, v, depth = (
        np.repeat((m[i] * left + m[i + 1] * y + m[i + 2]).astype(np.float32), cells)
        + np.repeat(m[i].astype(np.float32), cells) * step
        for i in (0, 3, 6)
    )
    u /= depth
    v /= depth
    inside = (np.abs(u) <= 1) & (np.abs(v) <= 1)
    u, v = u[inside], v[inside]
    positions = np.repeat(y * width + left - starts, cells)[inside] + cell[inside]
    np.maximum.at(result, positions, np.exp((u * u + v * v) * np.float32(-0.5 / DEVIATION**2)))


def _usable(quads: Floats) -> Floats:
    """Return convex quads unchanged; others, which no perspective fills, as the parallelogram of the edges'
    midpoints."""
    edges = np.roll(quads, -1, axis=1) - quads
    before = np.roll(edges, 1, axis=1)
    turns = before[..., 0] * edges[..., 1] - before[..., 1] * edges[..., 0]
    convex: NDArray[np.bool_] = np.logical_or((turns > 0).all(1), (turns < 0).all(1))
    middle = quads.mean(1)
    right = (quads[:, 1] + quads[:, 2] - quads[:, 0] - quads[:, 3]) / 4
    down = (quads[:, 2] + quads[:, 3] - quads[:, 0] - quads[:, 1]) / 4
    even = np.stack((middle - right - down, middle + right - down, middle + right + down, middle - right + down), 1)
    return np.where(convex[:, None, None], quads, even)


def _to_square(quads: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Compute matrices (C, 3, 3) from each quad to the square from -1 to 1, and which quads (C,) have an area.

    From the unit square to a quad in closed form (Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989,
    section 2.2.3), and its inverse.
    """
    a, b, c, d = quads.transpose(1, 0, 2)  # top left, top right, bottom right, bottom left
    one, two, rest = b - c, d - c, a - b + c - d
    cross = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    diagonals = (c - a)[:, 0] * (d - b)[:, 1] - (c - a)[:, 1] * (d - b)[:, 0]  # twice the area
    fine: NDArray[np.bool_] = (np.abs(cross) > FLAT * 1e-3) & (np.abs(diagonals) > 2 * FLAT)
    safe = np.where(fine, cross, 1)
    g = (rest[:, 0] * two[:, 1] - rest[:, 1] * two[:, 0]) / safe
    h = (one[:, 0] * rest[:, 1] - one[:, 1] * rest[:, 0]) / safe
    matrix = np.empty((len(quads), 3, 3))
    matrix[:, :2, 0] = b - a + g[:, None] * b
    matrix[:, :2, 1] = d - a + h[:, None] * d
    matrix[:, :2, 2] = a
    matrix[:, 2] = np.stack((g, h, np.ones_like(g)), -1)
    fine &= np.abs(np.linalg.det(matrix)) > 1e-12
    matrix[~fine] = np.eye(3)
    to_unit = np.linalg.inv(matrix)
    return np.array(((2.0, 0, -1), (0, 2, -1), (0, 0, 1))) @ to_unit, fine
