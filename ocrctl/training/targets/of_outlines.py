"""The maps of each family of detectors from the outlines of a batch: what `training/objectives.py` calls in a step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ocrctl.training.targets.craft import craft_maps
from ocrctl.training.targets.db import db_maps
from ocrctl.training.targets.fields import Groups
from ocrctl.training.targets.pan import pan_maps

Maps = Callable[[Groups, int, int], dict[str, Tensor]]  # outlines on the device, height and width of the input


@torch.no_grad()
def _made(maps: Maps, outlines: Groups, height: int, width: int) -> dict[str, Tensor]:
    with torch.autocast(next(iter(outlines["unjudged"].values())).device.type, enabled=False):
        return maps(outlines, height, width)


MAPS: dict[str, Maps] = {
    "db": partial(_made, db_maps),
    "pan": partial(_made, pan_maps),
    "craft": partial(_made, craft_maps),
}
"""by `ModelCard.decoder`; float32 whatever the step's precision, and without gradients"""
