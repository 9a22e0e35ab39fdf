"""Signed distances and filled polygons in tiles: what `data/targets/fields.py` and OpenCV give a worker, in torch.

Edges are gone through one by one, each for all tiles of a part, so that nothing is larger than a part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ocrctl.training.targets.sheet import Part, Sheet, raise_to

Groups = Mapping[str, Mapping[str, Tensor]]  # as data.outline_collate.OutlineBatch holds them

_FAR = 1e12  # units; no bound


def fields(group: Mapping[str, Tensor], sheet: Sheet) -> Iterator[tuple[Part, Tensor]]:
    """Parts of the sheet and signed distances (R, side, side) there, in units, positive inside.

    group: "quads" or "curves" of `data/targets/packed.py`, with a first axis for the pictures.
    """
    edges = group["edges"]
    segments, sizes = (group[name].flatten(0, 1) if name in group else None for name in ("segments", "sizes"))
    for part in sheet.parts(group["tiles"], edges.shape[1]):
        mine = edges.flatten(0, 1)[part.owner].permute(1, 2, 0)[..., None, None]  # (E, 5, R, 1, 1)
        if segments is None or sizes is None:
            yield part, _of_quads(mine, part)
            continue
        size = sizes[part.owner][:, None, None]
        away = torch.full_like(mine[0, 0], _FAR)
        for number, edge in enumerate(mine):
            # A row of padding is no edge.
            away = torch.minimum(away, torch.where(number < size, _across_and_squares(edge, part)[1], _FAR))
        away = away.sqrt()
        inside = _filled(segments[part.owner].permute(1, 2, 0)[..., None, None].float(), size, part)
        yield part, torch.where(inside, away, -away)


def _of_quads(edges: Tensor, part: Part) -> Tensor:
    """Inside a convex quad is what lies left of all its edges."""
    across, away = _across_and_squares(edges[0], part)
    for edge in edges[1:]:
        left, squares = _across_and_squares(edge, part)
        across, away = torch.minimum(across, left), torch.minimum(away, squares)
    away = away.sqrt_()
    return torch.where(across >= 0, away, -away)


def _across_and_squares(edge: Tensor, part: Part) -> tuple[Tensor, Tensor]:
    """Distances to the line of an edge (5, R, 1, 1), positive on its left, and squares of those to the edge itself."""
    middle_x, middle_y, along_x, along_y, half = edge
    x, y = part.x - middle_x, part.y - middle_y
    across = y * along_x - x * along_y
    beyond = (y * along_y + x * along_x).abs_().sub_(half).clamp_(min=0)
    return across, beyond.square_().addcmul_(across, across)


def judged(group: Mapping[str, Tensor], sheet: Sheet) -> Tensor:
    """uint8 (pictures, height, width), 0 over the filled polygons of group "unjudged", 1 elsewhere."""
    covered = sheet.blank(0)
    sizes = group["sizes"].flatten(0, 1)
    for part in sheet.parts(group["tiles"], group["sizes"].shape[1]):
        segments = group["segments"].flatten(0, 1)[part.owner].permute(1, 2, 0)[..., None, None].float()
        raise_to(covered, part.place, _filled(segments, sizes[part.owner][:, None, None], part).float())
    return 1 - sheet.whole(covered).to(torch.uint8)


def _filled(segments: Tensor, size: Tensor, part: Part) -> Tensor:
    """Whether pixels (R, side, side) are filled: an odd number of edges to their right, or on a line as it is drawn.

    segments (E, 4, R, 1, 1) whole pixels, of which `size` (R, 1, 1) count. Bresenham's line from its left end has in
    each column, or row where it is steep, the pixel nearest to it, and of two as near the one nearer to its start.
    """
    odd = torch.zeros_like(part.x * part.y, dtype=torch.bool)
    on_line = odd.clone()
    for number, (x0, y0, x1, y1) in enumerate(segments):
        real = number < size
        crosses = ((y0 > part.y) != (y1 > part.y)) & real
        meets = x0 + (part.y - y0) * (x1 - x0) / torch.where(y1 == y0, 1, y1 - y0)
        odd ^= crosses & (part.x < meets)
        start_x, start_y = torch.where(x0 <= x1, x0, x1), torch.where(x0 <= x1, y0, y1)
        wide, high = (x1 - x0).abs(), (y1 - y0).abs()
        level = torch.where(wide >= high, 1, -1)
        slope = torch.where((y1 - y0) * (x1 - x0) < 0, -1, 1)
        seen_x = real & (part.x >= start_x) & (part.x <= start_x + wide)
        seen_y = (part.y >= torch.minimum(y0, y1)) & (part.y <= torch.maximum(y0, y1))
        # Twice the distance to the line along the shorter way, in the longer way's lengths.
        right = torch.where(seen_x, 2 * level * high * (part.x - start_x), torch.inf)
        twice = right - torch.where(seen_y, 2 * level * slope * wide * (part.y - start_y), -torch.inf)
        longer = torch.maximum(wide, high).clamp_(min=1)
        on_line |= (twice > -longer) & (twice <= longer)
    return odd | on_line
