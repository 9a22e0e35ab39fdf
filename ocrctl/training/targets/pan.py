"""Maps of PAN on the device: `data/targets/pan.py` says what they are."""

from __future__ import annotations

import torch
from torch import Tensor

from ocrctl.data.targets.pan import GRANTED, STRIDE, TILE, apart
from ocrctl.training.targets.fields import Groups, fields, judged
from ocrctl.training.targets.sheet import Sheet, raise_to


def pan_maps(outlines: Groups, height: int, width: int) -> dict[str, Tensor]:
    """Maps (N, height / 4, width / 4) of N pictures, names and types as `data.targets.pan.pan_targets` gives them for
    one.

    outlines: what `data.targets.pan.pan_outlines` gives, padded to a batch by `data.outline_collate`. A worker draws
    the texts one on another, the largest first; here each cell keeps the greatest of their keys, which is the same.
    Distances are computed twice: how deep a text is must be known before its kernel.
    """
    unjudged, names = outlines["unjudged"], outlines["texts"]["names"].flatten(1)
    sheet = Sheet(len(names), height // STRIDE, width // STRIDE, TILE, names.device)
    texts, cores = sheet.blank(0, torch.int32), sheet.blank(0, torch.int32)
    for group in (outlines["quads"], outlines["curves"]):
        beside, within, level = (group[name].flatten() for name in ("beside", "within", "kernel"))
        deepest = torch.full_like(level, -torch.inf)
        for part, field in fields(group, sheet):
            seen = part.place % sheet.tiles > 0  # the first tile lies outside, for padding
            raise_to(deepest[:, None], part.owner, torch.where(seen, field.amax((1, 2)), -torch.inf)[:, None])
            held = torch.where(field >= 0, within[part.owner][:, None, None], 0)
            touched = torch.where(field >= -GRANTED, beside[part.owner][:, None, None], 0)
            raise_to(texts, part.place, torch.maximum(held, touched))
        level = torch.minimum(level, deepest)
        for part, field in fields(group, sheet):
            core = field >= level[part.owner][:, None, None]
            raise_to(cores, part.place, torch.where(core, within[part.owner][:, None, None], 0))
    instance, core = (
        names.gather(1, sheet.whole(keys).flatten(1).long()).reshape(len(names), sheet.height, sheet.width)
        for keys in (texts, cores)
    )
    mask = torch.where(instance > 0, 1, judged(unjudged, sheet))
    kernel = apart(torch.where(core == instance, core, 0))
    return {"instance": instance, "kernel": kernel.to(torch.uint8), "mask": mask}
