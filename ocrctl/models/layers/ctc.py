"""Connectionist temporal classification (CTC): the class head of recognisers, and the loss, in float32.

torch.nn.functional.ctc_loss waits for a GPU seven times in a training step: it reads the lengths on the host, copies
them back, and does the same in the backward pass. On other devices than the CPU the loss is therefore computed by
`CTCOnDevice`, of operations whose sizes do not depend on values.

Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent Neural
Networks", ICML 2006.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class CTCHead(nn.Module):
    """One linear layer to K classes, class 0 the CTC blank."""

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, num_classes)

    def forward(self, states: Tensor) -> dict[str, Tensor]:
        """Map (N, T, D) to {"logits": (N, T, K)}."""
        return {"logits": self.linear(states)}


def ctc_loss(logits: Tensor, labels: Tensor, lengths: Tensor, steps: Tensor | None = None) -> Tensor:
    """Compute the mean over the batch of the CTC loss divided by the label's length.

    logits: (N, T, K), class 0 the blank. labels: int64 (N, L), padded with 0 past `lengths` (N,). steps: int64 (N,),
    the first steps of each row that belong to its image; None: all T. Labels that need more steps are refused before
    training (data/datasets/check_labels.py); here they would give infinity. All are on one device.
    """
    log_probs = logits.float().log_softmax(-1).transpose(0, 1)  # (T, N, K)
    if steps is None:
        steps = torch.full(logits.shape[:1], logits.shape[1], dtype=torch.int64, device=logits.device)
    with torch.autocast(logits.device.type, enabled=False):
        if logits.is_cpu:
            return F.ctc_loss(log_probs, labels, steps, lengths, blank=0)
        losses: Tensor = CTCOnDevice.apply(log_probs, labels, lengths, steps)  # type: ignore[no-untyped-call]
        return (losses / lengths.clamp(min=1)).mean()


class CTCOnDevice(Function):
    """Compute the CTC loss of each row and its gradient without host synchronisation: the forward-backward algorithm
    of the paper (section 4.1) in the logarithmic domain.

    A label of length U has the 2 U + 1 states [blank] c1 [blank] c2 ... [blank]. The backward variables are forward
    variables of the reversed row, so that one loop over the T steps computes both.
    """

    @staticmethod
    def forward(ctx: Any, log_probs: Tensor, labels: Tensor, lengths: Tensor, steps: Tensor) -> Tensor:
        """Map log_probs float32 (T, N, K), labels int64 (N, L), lengths and steps int64 (N,), at least one step, to
        losses float32 (N,)."""
        count, rows, _ = log_probs.shape
        width = 2 * labels.shape[1] + 1  # S
        states = labels.new_zeros(rows, width)  # (N, S): the class of each state
        states[:, 1::2] = labels
        numbers = torch.arange(width, device=labels.device)
        back = 2 * lengths[:, None] - numbers  # (N, S): state s of the reversed row is state back[s]
        times = steps - 1 - torch.arange(count, device=labels.device)[:, None]  # (T, N): the same of steps

        emitted = log_probs.gather(2, states.expand(count, -1, -1))  # (T, N, S)
        turned = emitted.gather(0, times.clamp(min=0)[:, :, None].expand_as(emitted))
        turned = turned.gather(2, back.clamp(min=0).expand_as(turned))
        both = torch.cat([states, states.gather(1, back.clamp(min=0))])  # (2 N, S)
        variables = _forward_variables(torch.cat([emitted, turned], 1), both)  # (T, 2 N, S)

        last = variables.gather(0, (steps - 1).repeat(2)[None, :, None].expand(1, -1, width))[0, :rows]  # (N, S)
        end = last.gather(1, 2 * lengths[:, None])  # (N, 1): the last state is the blank after the label,
        before = last.gather(1, (2 * lengths[:, None] - 1).clamp(min=0))  # or its last character, if there is one
        before = before.masked_fill(lengths[:, None] == 0, -torch.inf)
        losses = -torch.logaddexp(end, before)[:, 0]

        backward = variables[:, rows:].gather(2, back.clamp(min=0).expand_as(emitted))
        backward = backward.gather(0, times.clamp(min=0)[:, :, None].expand_as(emitted))
        shares = variables[:, :rows] + backward - emitted + losses[:, None]  # log of the share of all paths
        outside = (back < 0) | (times < 0)[:, :, None]  # (T, N, S)
        shares = shares.masked_fill(outside, -torch.inf).exp()
        ctx.save_for_backward(shares, labels)
        ctx.classes = log_probs.shape[2]
        return losses

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Map the gradient of the losses (N,) to that of the log probabilities (T, N, K)."""
        shares, labels = ctx.saved_tensors  # (T, N, S), (N, L)
        found = shares.new_zeros(*shares.shape[:2], ctx.classes)
        found.scatter_add_(2, labels.expand(len(shares), -1, -1), shares[:, :, 1::2])
        found[:, :, 0] += shares[:, :, 0::2].sum(2)
        return found.mul_(-gradient[:, None]), None, None, None


def _forward_variables(emitted: Tensor, states: Tensor) -> Tensor:
    """Return the logarithms of the forward variables (T, M, S), for the log probabilities `emitted` (T, M, S) of the
    `states` (M, S): a state is reached from itself, from the one before, and from the one before that if both are
    different characters."""
    count, rows, width = emitted.shape
    skips = states.new_zeros(rows, width, dtype=emitted.dtype).fill_(-torch.inf)
    skips[:, 2:].masked_fill_((states[:, 2:] != 0) & (states[:, 2:] != states[:, :-2]), 0.0)
    found = emitted.new_full((count, rows, width + 2), -torch.inf)  # two states before the first, never reached
    found[0, :, 2:4] = emitted[0, :, :2]  # a path begins with the blank or with the first character
    for step in range(1, count):
        past = found[step - 1]
        reached = torch.logaddexp(past[:, 2:], past[:, 1:-1])
        torch.add(torch.logaddexp(reached, past[:, :-2] + skips), emitted[step], out=found[step, :, 2:])
    return found[:, :, 2:]
