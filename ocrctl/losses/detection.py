"""The loss of each kind of detector, by the card's decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from ocrctl.losses.craft import craft_loss
from ocrctl.losses.db import db_loss
from ocrctl.losses.pan import pan_loss

# Each takes the model's outputs and the batch's targets, both by name, to a float32 scalar on the device.
DETECTION_LOSSES: dict[str, Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]] = {
    "db": db_loss,
    "pan": pan_loss,
    "craft": craft_loss,
}
