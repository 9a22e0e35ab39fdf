"""Block updates with non-finite loss or gradients on the device, without host synchronisation at each step.

A blocked step changes neither weights, moments, normalisation statistics nor the moving average. Updates are blocked
from the first bad step on (`stop`) or at each bad step (`skip`). Only `read`, called at log time, synchronises.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class GuardReport:
    """The `steps` since the last reading: which of them were bad (1-based), and the mean loss of the
    good steps since `begin_mean` (NaN if there is none)."""

    steps: int
    loss: float
    bad: tuple[int, ...]


class Statistics:
    """Running means and variances of a model as views into one flat tensor, so
    that one copy saves and one copy restores them."""

    def __init__(self, model: nn.Module) -> None:
        """Move the buffers of `model`, which is already on its device, into the flat tensor."""
        buffers = [
            (module, name, buffer)
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None and buffer.is_floating_point() and name not in module._non_persistent_buffers_set
        ]
        self.flat = torch.cat([b.detach().float().flatten() for _, _, b in buffers]) if buffers else None
        start = 0
        for module, name, buffer in buffers:
            assert self.flat is not None
            module._buffers[name] = self.flat[start : start + buffer.numel()].view(buffer.shape)
            start += buffer.numel()
        self._kept: Tensor | None = None

    def keep(self) -> None:
        """Save the statistics before a step."""
        self._kept = self.flat.clone() if self.flat is not None else None

    def restore_where(self, blocked: Tensor) -> None:
        """Restore the saved statistics where the scalar `blocked` is not 0."""
        if self.flat is not None and self._kept is not None:
            torch.where(blocked > 0, self._kept, self.flat, out=self.flat)


class StepGuard:
    """One device flag per step since the last reading, and a latch that holds back every later update."""

    def __init__(self, device: torch.device, slots: int, *, latch: bool) -> None:
        """`slots`: steps between two readings, at most. `latch`: the first bad step blocks all later ones."""
        self.latch = latch
        self.marks = torch.zeros(slots, device=device)
        self.blocked = torch.zeros((), device=device)
        self.loss_sum = torch.zeros((), device=device)
        self.loss_count = torch.zeros((), device=device)
        self.steps = 0

    def record(self, loss: Tensor, norm: Tensor, overflow_allowed: Tensor | None = None) -> Tensor:
        """Record one step by its loss and gradient norm, both scalars on the device.

        `overflow_allowed`: 1 while gradients may overflow because the loss scale is still being adjusted (float16);
        such a step is skipped, but is not bad. Returns a scalar flag on the device, the `found_inf` of the optimiser.
        """
        finite_loss, finite_norm = torch.isfinite(loss), torch.isfinite(norm)
        bad = ~(finite_loss & finite_norm)
        held = bad
        if overflow_allowed is not None:
            bad = bad & ~(finite_loss & (overflow_allowed > 0))
        self.marks[self.steps] = bad
        if self.latch:
            self.blocked = torch.maximum(self.blocked, bad.float())
            held = held | (self.blocked > 0)
        self.loss_sum = self.loss_sum + torch.where(held, 0.0, loss)
        self.loss_count = self.loss_count + torch.where(held, 0.0, 1.0)
        self.steps += 1
        return held.float()

    def read(self) -> GuardReport:
        """Synchronise, report the steps since the last reading, and clear their marks (not the latch or the mean)."""
        values = torch.cat([torch.stack([self.loss_sum, self.loss_count]), self.marks[: self.steps]]).tolist()
        total, count, marks = values[0], values[1], values[2:]
        self.marks.zero_()
        steps, self.steps = self.steps, 0
        bad = tuple(index + 1 for index, mark in enumerate(marks) if mark)
        return GuardReport(steps, total / count if count else float("nan"), bad)

    def begin_mean(self, total: float = 0.0, count: float = 0.0) -> None:
        """Reset the mean loss, or restore it from the sums in a checkpoint."""
        self.loss_sum, self.loss_count = self.loss_sum.new_tensor(total), self.loss_count.new_tensor(count)

    def mean_state(self) -> tuple[float, float]:
        """Return sum and count of the losses since `begin_mean`, for a checkpoint; synchronises."""
        return float(self.loss_sum), float(self.loss_count)


class LossScale:
    """Dynamic loss scale for float16 gradients, kept on the device.

    Micikevicius et al., "Mixed Precision Training", 2018 (https://arxiv.org/abs/1710.03740), section 3.2: halved when
    gradients overflow, doubled after 2,000 steps that did not. It never falls below 1, where an overflow is real.
    """

    GROWTH_STEPS = 2000

    def __init__(self, device: torch.device, scale: float = 65536.0, good: float = 0.0) -> None:
        self.scale = torch.full((), scale, device=device)
        self.good = torch.full((), good, device=device)

    def allows_overflow(self) -> Tensor:
        """Return 1 while the scale can still fall."""
        return (self.scale > 1.0).float()

    def update(self, norm: Tensor) -> None:
        """Update the scale from the gradient norm of one step."""
        fine = torch.isfinite(norm)
        good = torch.where(fine, self.good + 1, 0.0)
        grown = good >= self.GROWTH_STEPS
        self.scale = torch.where(fine, torch.where(grown, self.scale * 2, self.scale), (self.scale / 2).clamp(min=1.0))
        self.good = torch.where(grown, 0.0, good)

    def state(self) -> tuple[float, float]:
        """Return scale and number of good steps, for a checkpoint; synchronises."""
        return float(self.scale), float(self.good)
