"""The loss of PAN.

Wang et al., "Efficient and Accurate Arbitrary-Shaped Text Detection with Pixel Aggregation Network", 2019
(https://arxiv.org/abs/1908.05900), section 3.5: L = L_text + 0.5 L_kernel + 0.25 (L_aggregation + L_discrimination).
Kernels are evaluated inside the text and where the model takes text to be: the latter is how PSENet does it (Wang et
al., 2019, https://arxiv.org/abs/1903.12473, section 3.5).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrctl.models.layers.map_losses import bounded, hardest

KERNEL, EMBEDDING = 0.5, 0.25  # weights beside that of the text, 1
PULL, PUSH = 0.5, 3.0  # distances: pixels nearer to their kernel, kernels further apart than these cost nothing
NEGATIVES = 3  # background pixels for each pixel of text
FEWEST_NEGATIVES = 100  # per image, so that images without text contribute, too
SMOOTH = 1.0  # pixels added to both sides of dice: 0 / 0 is 1, full overlap
MOST_INSTANCES = 4096  # per image; embeddings of further instances are not trained
MOST_PAIRED = 512  # kernels per image that are compared in pairs
TINY = 1e-12  # under the root: a distance of 0 has the gradient 0


def pan_loss(outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Compute the loss: scalar float32, no host synchronisation.

    outputs: "text" and "kernel" logits (N, h, w), "embedding" (N, D, h, w). targets: "instance" (N, h, w), 0 the
    background, k the k-th polygon; "kernel" and "mask" 0 or 1 (mask 0: don't care).
    """
    with torch.autocast(outputs["text"].device.type, enabled=False):
        care = targets["mask"] > 0
        instance = targets["instance"].long() * care
        text = instance > 0
        kernel = (targets["kernel"] > 0) & care
        logits = bounded(outputs["text"])
        loss = dice(logits, text, mined(logits, text, care))
        # Kernels are looked for wherever text is found, in the gap between two words too when the text runs over it.
        sought = text | (care & (logits.detach() > 0))
        loss = loss + KERNEL * dice(bounded(outputs["kernel"]), kernel, sought.float())
        return loss + EMBEDDING * embedding_loss(bounded(outputs["embedding"]), instance, kernel)


def mined(logits: Tensor, text: Tensor, care: Tensor) -> Tensor:
    """Compute weights (N, h, w): 1 for text, and each image's hardest background, three pixels of it for each of
    text."""
    count = (NEGATIVES * text.sum((1, 2))).clamp(min=FEWEST_NEGATIVES)
    negative = care & ~text
    return text + hardest(F.softplus(logits).flatten(1), negative.flatten(1), count).view_as(logits)


def dice(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Compute 1 - 2 sum(p t) / (sum(p p) + sum(t t)) of each image, equation 6; mean of the images."""
    p, t = logits.sigmoid().flatten(1), target.float().flatten(1)
    w = weights.flatten(1)
    overlap = 2 * (w * p * t).sum(1) + SMOOTH
    return (1 - overlap / ((w * p * p).sum(1) + (w * t).sum(1) + SMOOTH)).mean()


def embedding_loss(embedding: Tensor, instance: Tensor, kernel: Tensor) -> Tensor:
    """Compute aggregation (equation 2: a pixel to its kernel) plus discrimination (equation 4: kernels from each
    other).

    embedding: (N, D, h, w). instance: int64, kernel: bool (N, h, w). Sums over instances are scatters into
    MOST_INSTANCES + 1 slots per image, slot 0 the background, so that no size depends on the data.
    """
    batch, width = embedding.shape[:2]
    slots = MOST_INSTANCES + 1
    instance = torch.where(instance < slots, instance, 0)
    first = slots * torch.arange(batch, device=instance.device)[:, None, None]
    slot = (first + instance).flatten()  # (N h w,) slot of each pixel
    kernel_slot = (first + instance * kernel).flatten()
    pixels = embedding.permute(0, 2, 3, 1).reshape(-1, width)  # (N h w, D)

    sums = pixels.new_zeros(batch * slots, width).index_add(0, kernel_slot, pixels)
    kernel_sizes = _sizes(kernel_slot, batch * slots)
    means = sums / kernel_sizes.clamp(min=1)[:, None]
    present = (kernel_sizes > 0).view(batch, slots)
    present = present & (torch.arange(slots, device=instance.device) > 0)

    far = (pixels - means.index_select(0, slot)).square().sum(1).add(TINY).sqrt()
    pulls = (far - PULL).relu().square().log1p()
    pulls = pulls.new_zeros(batch * slots).index_add(0, slot, pulls) / _sizes(slot, batch * slots).clamp(min=1)
    aggregation = (pulls.view(batch, slots) * present).sum(1) / present.sum(1).clamp(min=1)

    centres = means.view(batch, slots, width)[:, 1 : MOST_PAIRED + 1]  # (N, P, D)
    here = present[:, 1 : MOST_PAIRED + 1]
    apart = (centres[:, :, None] - centres[:, None]).square().sum(3).add(TINY).sqrt()  # (N, P, P)
    pairs = here[:, :, None] & here[:, None] & ~torch.eye(MOST_PAIRED, dtype=torch.bool, device=here.device)
    pushes = (PUSH - apart).relu().square().log1p() * pairs
    discrimination = pushes.sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)
    return (aggregation + discrimination).mean()


def _sizes(slot: Tensor, slots: int) -> Tensor:
    """Count the pixels of each slot, float32."""
    ones = torch.ones_like(slot, dtype=torch.float32)
    return ones.new_zeros(slots).index_add(0, slot, ones)
