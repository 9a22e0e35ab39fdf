"""The loss of CRAFT.

Baek et al., "Character Region Awareness for Text Detection", 2019 (https://arxiv.org/abs/1904.01941), equation 3, with
hard negatives at 1:3 for each image (section 4.2).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ocrctl.models.layers.map_losses import bounded, hardest

TEXT = 0.1  # a target above this belongs to a character or a link
NEGATIVES = 3  # background pixels for each pixel of text
FEWEST_NEGATIVES = 500  # per image, so that images without text contribute, too


def craft_loss(outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Compute the loss: scalar float32, no host synchronisation.

    outputs: "region" and "affinity" (N, h, w). targets: the same in 0..1, and "mask" 0 or 1 (0: don't care).
    """
    with torch.autocast(outputs["region"].device.type, enabled=False):
        care = targets["mask"].float()
        region = mined_squares(bounded(outputs["region"]), targets["region"].float(), care)
        return region + mined_squares(bounded(outputs["affinity"]), targets["affinity"].float(), care)


def mined_squares(prediction: Tensor, target: Tensor, care: Tensor) -> Tensor:
    """Compute the mean square over each image's text plus that over its hardest background; mean of the images."""
    squares = ((prediction - target).square() * care).flatten(1)  # (N, h w)
    text = (target > TEXT).flatten(1) & (care > 0).flatten(1)
    background = (target <= TEXT).flatten(1) & (care > 0).flatten(1)
    pixels = text.sum(1)
    kept = hardest(squares, background, (NEGATIVES * pixels).clamp(min=FEWEST_NEGATIVES))
    positive = (squares * text).sum(1) / pixels.clamp(min=1)
    negative = (squares * kept).sum(1) / kept.sum(1).clamp(min=1)
    return (positive + negative).mean()
