"""The loss of PAN: scatters against a loop over instances."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ocrctl.models.pan import loss as pan
from ocrctl.models.pan.loss import embedding_loss, pan_loss


def looped(embedding: Tensor, instance: Tensor, kernel: Tensor) -> Tensor:
    total = torch.zeros(())
    for e, i, k in zip(embedding, instance, kernel, strict=True):
        names = [int(n) for n in i.unique() if n > 0 and ((i == n) & k).any()]
        means = [e[:, (i == n) & k].mean(1) for n in names]
        pulls = [
            torch.log((((e[:, i == n] - mean[:, None]).norm(dim=0) - 0.5).relu() ** 2) + 1).mean()
            for n, mean in zip(names, means, strict=True)
        ]
        pushes = [
            torch.log((3 - (a - b).norm()).relu() ** 2 + 1)
            for x, a in enumerate(means) for y, b in enumerate(means) if x != y
        ]  # fmt: skip
        total = total + (torch.stack(pulls).mean() if pulls else 0) + (torch.stack(pushes).mean() if pushes else 0)
    return total / len(embedding)


def test_the_embedding_is_the_papers() -> None:
    generator = torch.Generator().manual_seed(0)
    instance = torch.zeros(3, 24, 24, dtype=torch.int64)
    instance[0, 2:8, 2:20], instance[0, 10:16, 2:20], instance[0, 18:23, 4:9] = 1, 2, 7
    instance[1, 3:9, 3:9] = 1  # one instance: nothing to push; the third page has none
    kernel = torch.rand(3, 24, 24, generator=generator) > 0.5
    kernel[0, 18:23, 4:9] = False  # an instance whose kernel was lost counts for nothing
    embedding = (2 * torch.randn(3, 4, 24, 24, generator=generator)).requires_grad_()
    loss = embedding_loss(embedding, instance, kernel)
    torch.testing.assert_close(loss, looped(embedding, instance, kernel))
    (ours,) = torch.autograd.grad(loss, embedding)
    (theirs,) = torch.autograd.grad(looped(embedding, instance, kernel), embedding)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-7)


def test_equal_embeddings_have_a_finite_gradient() -> None:
    instance = torch.zeros(1, 16, 16, dtype=torch.int64)
    instance[0, :4], instance[0, 8:12] = 1, 2
    embedding = torch.zeros(1, 4, 16, 16, requires_grad=True)
    embedding_loss(embedding, instance, instance > 0).backward()
    assert embedding.grad is not None and torch.isfinite(embedding.grad).all()


def test_more_instances_than_slots_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pan, "MOST_INSTANCES", 8)
    monkeypatch.setattr(pan, "MOST_PAIRED", 8)
    instance = torch.arange(256).view(1, 16, 16)
    embedding = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    embedding_loss(embedding, instance, instance > 0).backward()
    assert embedding.grad is not None
    touched = embedding.grad.abs().sum(1)[0].flatten() > 0
    assert touched[1:9].all() and not touched[9:].any()


def test_a_right_answer_costs_nearly_nothing_and_a_wrong_one_much(page_targets) -> None:
    targets = page_targets("pan", 2, 128)
    instance = targets["instance"].float()
    right = {
        "text": 20 * (instance > 0) - 10, "kernel": 20.0 * targets["kernel"] - 10,
        "embedding": torch.stack([10 * instance] + 3 * [torch.zeros_like(instance)], 1),
    }  # fmt: skip
    assert pan_loss(right, targets) < 0.02
    wrong = {**right, "text": -right["text"], "kernel": -right["kernel"]}
    assert pan_loss(wrong, targets) > 1.2


def test_a_kernel_that_bridges_two_words_is_held_against_the_model_where_its_text_does_too() -> None:
    instance = torch.zeros(1, 16, 32, dtype=torch.int32)
    instance[0, 4:12, 2:14], instance[0, 4:12, 18:30] = 1, 2
    kernel = torch.zeros(1, 16, 32, dtype=torch.uint8)
    kernel[0, 6:10, 4:12], kernel[0, 6:10, 20:28] = 1, 1
    targets = {"instance": instance, "kernel": kernel, "mask": torch.ones(1, 16, 32, dtype=torch.uint8)}
    gap = torch.zeros(1, 16, 32, dtype=torch.bool)
    gap[0, 6:10, 14:18] = True

    def pushed(text_in_the_gap: float, care: bool = True) -> Tensor:
        text = torch.where(gap, text_in_the_gap, 20.0 * (instance > 0) - 10)
        bridge = torch.where(gap, 2.0, 20.0 * kernel - 10).requires_grad_()
        maps = {"text": text, "kernel": bridge, "embedding": torch.zeros(1, 4, 16, 32)}
        judged = {**targets, "mask": torch.where(gap & (not care), 0, targets["mask"])}
        (gradient,) = torch.autograd.grad(pan_loss(maps, judged), bridge)
        return gradient[gap]

    assert (pushed(2.0) > 0).all()  # its words would be found as one
    assert (pushed(-2.0) == 0).all()  # no text, no kernel: nothing to say
    assert (pushed(2.0, care=False) == 0).all()


def test_pages_without_text_cost_only_false_alarms(page_targets) -> None:
    targets = page_targets("pan", 2, 128, text=False)
    text = torch.full((2, 32, 32), -20.0)
    blank = {"kernel": torch.zeros(2, 32, 32), "embedding": torch.zeros(2, 4, 32, 32)}
    assert pan_loss({"text": text, **blank}, targets) < 1e-6
    text[0, 4:6, 4:8] = 2
    text.requires_grad_()
    pan_loss({"text": text, **blank}, targets).backward()
    assert text.grad is not None and text.grad[0, 4:6, 4:8].gt(0).all() and torch.isfinite(text.grad).all()
