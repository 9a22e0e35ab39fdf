"""Maps of CRAFT on the device: `data/targets/craft.py` says what they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ocrctl.data.targets.craft import DEVIATION, STRIDE, TILE
from ocrctl.training.targets.fields import Groups, judged
from ocrctl.training.targets.sheet import Sheet, raise_to


def craft_maps(outlines: Groups, height: int, width: int) -> dict[str, Tensor]:
    """Maps (N, height / 2, width / 2) of N pictures, names and types as `data.targets.craft.craft_targets` gives them
    for one.

    outlines: what `data.targets.craft.craft_outlines` gives, padded to a batch by `data.outline_collate`.
    """
    unjudged = outlines["unjudged"]
    sheet = Sheet(len(unjudged["sizes"]), height // STRIDE, width // STRIDE, TILE, unjudged["sizes"].device)
    maps = {name: _gaussians(outlines[name], sheet) for name in ("region", "affinity")}
    return {**maps, "mask": judged(unjudged, sheet)}


def _gaussians(group: Mapping[str, Tensor], sheet: Sheet) -> Tensor:
    """The highest at each cell of the Gaussians warped into quads."""
    drawn = sheet.blank(0)
    inverse, origin = group["inverse"].flatten(0, 1), group["origin"].flatten(0, 1)
    for part in sheet.parts(group["tiles"], group["origin"].shape[1]):
        m = inverse[part.owner].t()[..., None, None]  # (9, R, 1, 1)
        left, top = origin[part.owner].t()[..., None, None]
        x, y = part.x - left, part.y - top
        u, v, depth = (m[i] * x + (m[i + 1] * y + m[i + 2]) for i in (0, 3, 6))
        u, v = u / depth, v / depth
        inside = (u.abs() <= 1) & (v.abs() <= 1)  # neither is, of padding, where it is 0 / 0
        raise_to(drawn, part.place, torch.where(inside, ((u * u + v * v) * (-0.5 / DEVIATION**2)).exp(), 0))
    return sheet.whole(drawn)
