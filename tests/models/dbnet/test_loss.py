"""The loss of DBNet against the paper's formula, and where it must be still."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ocrctl.models.dbnet.loss import balanced_cross_entropy, binarise, db_loss, dice


def test_the_parts_are_the_papers(page_targets) -> None:
    targets = page_targets("db", 2, 64)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 64, 64, generator=generator)
    threshold = torch.rand(2, 64, 64, generator=generator)
    text, care = targets["shrink"].float(), targets["shrink_mask"].float()

    each = F.binary_cross_entropy(logits.sigmoid(), text, reduction="none")
    positive, negative = each[(text * care) > 0], each[((1 - text) * care) > 0]
    hard = negative.topk(min(3 * len(positive), len(negative))).values
    entropy = (positive.sum() + hard.sum()) / (len(positive) + len(hard))
    torch.testing.assert_close(balanced_cross_entropy(logits, text, care), entropy, rtol=3e-3, atol=0)

    binary = 1 / (1 + torch.exp(-50 * (logits.sigmoid() - threshold)))
    overlap = 2 * (binary * text * care).sum() / ((binary * care).sum() + (text * care).sum())
    torch.testing.assert_close(dice(binarise(logits.sigmoid(), threshold), text, care), 1 - overlap)

    near = targets["border_mask"] > 0
    l1 = (threshold - targets["border"].float())[near].abs().mean()
    total = db_loss({"probability": logits, "threshold": threshold}, targets)
    torch.testing.assert_close(total, 5 * entropy + (1 - overlap) + 10 * l1, rtol=3e-3, atol=0)


def test_the_step_function_never_overflows() -> None:
    values = torch.tensor([0.0, 0.3, 0.5, 1.0, 1e30, -1e30, float("inf")])
    step = binarise(values[:, None], values[None])
    assert torch.isfinite(step).all() and step.dtype == torch.float32
    assert step[1, 1] == 0.5 and step[3, 0] > 0.999 and step[0, 3] < 0.001


def test_what_is_not_cared_for_changes_nothing(page_targets) -> None:
    targets = page_targets("db", 1, 64)
    logits = torch.zeros(1, 64, 64, requires_grad=True)
    threshold = torch.full((1, 64, 64), 0.5, requires_grad=True)
    db_loss({"probability": logits, "threshold": threshold}, targets).backward()
    assert logits.grad is not None and threshold.grad is not None
    outside = targets["shrink_mask"] == 0
    assert not logits.grad[outside].any() and not threshold.grad[outside & (targets["border_mask"] == 0)].any()
    assert logits.grad[targets["shrink"] > 0].lt(0).all()  # text pulls its probability up


def test_pages_without_text_cost_only_false_alarms(page_targets) -> None:
    targets = page_targets("db", 2, 64, text=False)
    logits = torch.full((2, 64, 64), -20.0)
    threshold = torch.full((2, 64, 64), 0.3)
    assert db_loss({"probability": logits, "threshold": threshold}, targets) < 1e-6
    logits[0, 10:20, 10:20] = 4.0
    logits.requires_grad_()
    loss = db_loss({"probability": logits, "threshold": threshold}, targets)
    loss.backward()
    assert loss > 0.1 and logits.grad is not None and torch.isfinite(logits.grad).all()
    assert logits.grad[0, 10:20, 10:20].gt(0).all()
