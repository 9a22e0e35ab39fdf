"""The CTC loss for other devices than the CPU, run on the CPU, against torch.nn.functional.ctc_loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ocrctl.models.layers.ctc import CTCOnDevice, ctc_loss


def made_up(seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits (12, 30, 9), labels (12, 8) of six characters, so that many repeat, lengths from 0, and steps."""
    draw = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(12, 30, 9, generator=draw, dtype=dtype)
    lengths = torch.tensor([8, 0, 1, 2, 8, 5, 3, 7, 6, 4, 0, 8])
    labels = torch.randint(1, 7, (12, 8), generator=draw)
    labels[0] = 3  # one character eight times
    labels *= torch.arange(8) < lengths[:, None]
    steps = torch.randint(17, 31, (12,), generator=draw)
    steps[:2] = torch.tensor([15, 1])  # the fewest that the label and no label need
    return logits.requires_grad_(), labels, lengths, steps


def on_device(logits: Tensor, labels: Tensor, lengths: Tensor, steps: Tensor) -> Tensor:
    losses: Tensor = CTCOnDevice.apply(logits.log_softmax(-1).transpose(0, 1), labels, lengths, steps)
    return losses


@pytest.mark.parametrize("seed", range(5))
def test_losses_and_gradients_are_those_of_pytorch(seed: int) -> None:
    logits, labels, lengths, steps = made_up(seed)
    log_probs = logits.log_softmax(-1).transpose(0, 1)
    expected = F.ctc_loss(log_probs, labels, steps, lengths, reduction="none")
    found = on_device(logits, labels, lengths, steps)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weights = torch.rand(12, dtype=torch.float64)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), logits)
    (gradient,) = torch.autograd.grad((found * weights).sum(), logits)
    torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)
    assert all(not gradient[row, int(end) :].any() for row, end in enumerate(steps))


def test_the_gradient_is_that_of_differences() -> None:
    logits, labels, lengths, steps = made_up(9)
    rows = slice(0, 4)
    few = (labels[rows], lengths[rows], steps[rows])
    assert torch.autograd.gradcheck(
        lambda x: on_device(x, *few), logits[rows].detach().requires_grad_(), fast_mode=True
    )


def test_float32_is_as_exact_as_that_of_pytorch() -> None:
    logits, labels, lengths, steps = made_up(2)
    exact = F.ctc_loss(logits.log_softmax(-1).transpose(0, 1), labels, steps, lengths, reduction="none")
    (gradient,) = torch.autograd.grad(exact.sum(), logits)
    single = logits.detach().float().requires_grad_()
    found = on_device(single, labels, lengths, steps)
    theirs = F.ctc_loss(single.log_softmax(-1).transpose(0, 1), labels, steps, lengths, reduction="none")
    errors = [float((loss.double() - exact).detach().abs().max()) for loss in (found, theirs)]
    slopes = [float((torch.autograd.grad(loss.sum(), single)[0].double() - gradient).abs().max())
              for loss in (found, theirs)]  # fmt: skip
    assert errors[0] < 2 * errors[1] + 1e-6 and slopes[0] < 2 * slopes[1] + 1e-6 and slopes[0] < 1e-4


def test_a_label_without_enough_steps_has_an_infinite_loss() -> None:
    logits, labels, lengths, steps = made_up(3)
    steps[0] = 14  # eight equal characters need seven blanks between them
    found = on_device(logits, labels, lengths, steps)
    assert torch.isinf(found).tolist() == [True] + [False] * 11
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert gradient[0].isnan().any() and bool(torch.isfinite(gradient[1:]).all())  # the guard sees it


def test_a_batch_without_any_text() -> None:
    logits = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    labels, lengths = torch.zeros(3, 0, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    found = on_device(logits, labels, lengths, torch.tensor([5, 4, 1]))
    blank = logits.log_softmax(-1)[..., 0]
    torch.testing.assert_close(found, -torch.stack([blank[0].sum(), blank[1, :4].sum(), blank[2, 0]]))
    assert torch.autograd.grad(found.sum(), logits)[0].abs().sum() > 0


def test_on_a_cpu_the_loss_is_pytorchs_bit_for_bit() -> None:
    logits, labels, lengths, steps = made_up(4, torch.float32)
    log_probs = logits.log_softmax(-1).transpose(0, 1)
    assert torch.equal(ctc_loss(logits, labels, lengths, steps), F.ctc_loss(log_probs, labels, steps, lengths))
    whole = torch.full((12,), 30)
    assert torch.equal(ctc_loss(logits, labels, lengths), F.ctc_loss(log_probs, labels, whole, lengths))


@pytest.mark.gpu
def test_on_a_gpu_the_loss_is_that_of_the_cpu_and_waits_for_nothing() -> None:
    logits, labels, lengths, steps = made_up(5, torch.float32)
    expected = ctc_loss(logits, labels, lengths, steps)
    (wanted,) = torch.autograd.grad(expected, logits)
    moved = logits.detach().cuda().requires_grad_()
    others = [value.cuda() for value in (labels, lengths, steps)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = ctc_loss(moved, *others)
        (gradient,) = torch.autograd.grad(found, moved)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient.cpu(), wanted, rtol=1e-3, atol=1e-5)
