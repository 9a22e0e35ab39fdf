"""Maps of DBNet and DB++ on the device: `data/targets/db.py` says what they are."""

from __future__ import annotations

import torch
from torch import Tensor

from ocrctl.data.targets.db import THRESHOLD_RANGE, TILE
from ocrctl.training.targets.fields import Groups, fields, judged
from ocrctl.training.targets.sheet import Sheet, raise_to


def db_maps(outlines: Groups, height: int, width: int) -> dict[str, Tensor]:
    """Maps (N, height, width) of N pictures, names and types as `data.targets.db.db_targets` gives them for one.

    outlines: what `data.targets.db.db_outlines` gives, padded to a batch by `data.outline_collate`.
    """
    unjudged = outlines["unjudged"]
    sheet = Sheet(len(unjudged["sizes"]), height, width, TILE, unjudged["sizes"].device)
    lowest, highest = THRESHOLD_RANGE
    border, kernels = sheet.blank(lowest), sheet.blank(-1)
    for group in (outlines["quads"], outlines["curves"]):
        level = group["kernel"].flatten()
        for part, field in fields(group, sheet):
            raise_to(kernels, part.place, (field >= level[part.owner][:, None, None]).float())
            raise_to(border, part.place, highest - field.abs())
    shrink, around = sheet.whole(kernels) > 0, sheet.whole(border)
    covered = (around > lowest) | shrink  # deeper inside than the reach
    return {
        "shrink": shrink.to(torch.uint8),
        "shrink_mask": judged(unjudged, sheet),
        "border": around,
        "border_mask": covered.to(torch.uint8),
    }
