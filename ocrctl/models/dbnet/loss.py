"""The loss of DBNet and DBNet++.

Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", 2019
(https://arxiv.org/abs/1911.08947), section 3.4: L = L_s + alpha L_b + beta L_t with alpha = 1 and beta = 10. As in the
authors' release, L_s (probability) is cross entropy with weight 5, L_b (binary map) is dice.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrctl.models.layers.map_losses import bounded, hardest_of_batch
from ocrctl.models.layers.whole_batch import batch_size, batch_sum

STEEPNESS = 50.0  # k of the step function
PROBABILITY, BINARY, THRESHOLD = 5.0, 1.0, 10.0  # weights of the three parts
NEGATIVES = 3  # background pixels for each pixel of text
FEWEST_NEGATIVES = 500  # per image, so that images without text contribute, too
EPSILON = 1e-6


def db_loss(outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Compute the loss: scalar float32, no host synchronisation.

    outputs: "probability" logits and "threshold" in 0..1, both (N, H, W). targets: "shrink" and "shrink_mask" 0 or 1
    (mask 0: don't care), "border" in 0..1 and "border_mask", all (N, H, W). Without any text only false alarms cost.
    """
    with torch.autocast(outputs["probability"].device.type, enabled=False):
        logits, threshold = bounded(outputs["probability"]), bounded(outputs["threshold"])
        text, care = targets["shrink"].float(), targets["shrink_mask"].float()
        near = targets["border_mask"].float()
        off = (threshold - targets["border"].float()).abs()
        l1 = batch_sum((off * near).sum()) / batch_sum(near.sum()).clamp(min=1)
        loss = PROBABILITY * balanced_cross_entropy(logits, text, care)
        return loss + BINARY * dice(binarise(logits.sigmoid(), threshold), text, care) + THRESHOLD * l1


def binarise(probability: Tensor, threshold: Tensor) -> Tensor:
    """Compute the step function sigmoid(k (P - T)), equation 1; float32, both inputs clamped to 0..1, so that no
    exponential overflows."""
    return torch.sigmoid(STEEPNESS * (probability.float().clamp(0, 1) - threshold.float().clamp(0, 1)))


def balanced_cross_entropy(logits: Tensor, text: Tensor, care: Tensor) -> Tensor:
    """Compute the mean over the text of the batch and its hardest background, three pixels for each one of text."""
    losses = F.binary_cross_entropy_with_logits(logits, text, reduction="none")
    positive, negative = text * care, (1 - text) * care
    count = (NEGATIVES * batch_sum(positive.sum())).clamp(min=FEWEST_NEGATIVES * batch_size(len(logits)))
    mined = hardest_of_batch(losses.reshape(1, -1), (negative > 0).reshape(1, -1), count[None])
    kept = positive + mined.view_as(losses)
    return batch_sum((losses * kept).sum()) / batch_sum(kept.sum()).clamp(min=1)


def dice(prediction: Tensor, text: Tensor, care: Tensor) -> Tensor:
    """Compute 1 - 2 |A and B| / (|A| + |B|) over the batch (Milletari et al., 2016); 0 where there is no text to
    cover."""
    both = batch_sum((prediction * text * care).sum())
    covered = batch_sum((text * care).sum())
    overlap = 2 * both / (batch_sum((prediction * care).sum()) + covered + EPSILON)
    return (1 - overlap) * (covered > 0)
