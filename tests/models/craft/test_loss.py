"""The loss of CRAFT against a loop over images."""

from __future__ import annotations

import torch
from torch import Tensor

from ocrctl.models.craft.loss import craft_loss


def looped(prediction: Tensor, target: Tensor, care: Tensor) -> Tensor:
    total = torch.zeros(())
    for p, t, c in zip(prediction, target.float(), care, strict=True):
        squares = (p - t) ** 2
        text, rest = squares[(t > 0.1) & (c > 0)], squares[(t <= 0.1) & (c > 0)]
        count = min(len(rest), max(3 * len(text), 500))
        total = total + (text.mean() if len(text) else 0) + rest.topk(count).values.mean()
    return total / len(prediction)


def test_it_is_the_mean_of_text_and_of_hard_background(page_targets) -> None:
    targets = page_targets("craft", 2, 128)
    targets = {**targets, "region": targets["region"].clone()}
    targets["region"][1] = 0  # the second page has no characters
    generator = torch.Generator().manual_seed(0)
    region, affinity = torch.randn(2, 2, 64, 64, generator=generator).unbind(1)
    wanted = looped(region, targets["region"], targets["mask"]) + looped(affinity, targets["affinity"], targets["mask"])
    torch.testing.assert_close(craft_loss({"region": region, "affinity": affinity}, targets), wanted, rtol=5e-3, atol=0)


def test_pages_without_text_cost_only_what_is_seen_there(page_targets) -> None:
    targets = page_targets("craft", 2, 128, text=False)
    flat = torch.zeros(2, 64, 64)
    assert craft_loss({"region": flat, "affinity": flat}, targets) == 0
    seen = flat.clone()
    seen[0, 5:9, 5:9] = 1
    seen.requires_grad_()
    craft_loss({"region": seen, "affinity": flat}, targets).backward()
    assert seen.grad is not None and seen.grad[0, 5:9, 5:9].gt(0).all() and torch.isfinite(seen.grad).all()
