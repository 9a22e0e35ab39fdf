"""The guard against values that are not finite: it blocks an update on the device and is read at log time only.

What a step changes (weights, moments, normalisation statistics, the moving average) is left as it was from the first
bad step on (`stop`), or at each bad step (`skip`); nothing here waits for the device until `read`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class GuardReport:
    """What happened in the `steps` since the last reading: which were bad (1 is the first); and the mean loss of the
    good steps since `begin_mean` (NaN without one)."""

    steps: int
    loss: float
    bad: tuple[int, ...]


class Statistics:
    """A model's floating-point buffers that are saved (running means and variances), as views into one flat tensor, so
    that one copy keeps them and one restores them."""

    def __init__(self, model: nn.Module) -> None:
        """Moves the buffers of `model`, which is already on its device, into the flat tensor."""
        places = [
            (module, name, buffer)
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None and buffer.is_floating_point() and name not in module._non_persistent_buffers_set
        ]
        self.flat = torch.cat([b.detach().float().flatten() for _, _, b in places]) if places else None
        start = 0
        for module, name, buffer in places:
            assert self.flat is not None
            module._buffers[name] = self.flat[start : start + buffer.numel()].view(buffer.shape)
            start += buffer.numel()
        self._kept: Tensor | None = None

    def keep(self) -> None:
        """Remember them as they are before a step."""
        self._kept = self.flat.clone() if self.flat is not None else None

    def restore_where(self, blocked: Tensor) -> None:
        """Put the remembered ones back where the scalar `blocked` is not 0."""
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

    def judge(self, loss: Tensor, norm: Tensor, overflow_allowed: Tensor | None = None) -> Tensor:
        """Look at one step: its loss and the norm of its gradients, both scalars on the device.

        `overflow_allowed`: 1 where gradients may overflow because a loss scale is still being found (float16); such a
        step is left out, but not bad. Returns the flag, a scalar on the device, that an optimiser takes as `found_inf`.
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
        """Wait for the device, tell what happened, and clear the marks (the latch and the sums of the mean stay)."""
        values = torch.cat([torch.stack([self.loss_sum, self.loss_count]), self.marks[: self.steps]]).tolist()
        total, count, marks = values[0], values[1], values[2:]
        self.marks.zero_()
        steps, self.steps = self.steps, 0
        bad = tuple(place + 1 for place, mark in enumerate(marks) if mark)
        return GuardReport(steps, total / count if count else float("nan"), bad)

    def begin_mean(self, total: float = 0.0, count: float = 0.0) -> None:
        """Start the mean loss anew, or from the sums that a checkpoint holds."""
        self.loss_sum, self.loss_count = self.loss_sum.new_tensor(total), self.loss_count.new_tensor(count)

    def mean_state(self) -> tuple[float, float]:
        """Sum and number of the losses since `begin_mean`, for a checkpoint; waits for the device."""
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
        """1 while the scale can still fall."""
        return (self.scale > 1.0).float()

    def update(self, norm: Tensor) -> None:
        """Learn from the norm of one step's gradients."""
        fine = torch.isfinite(norm)
        good = torch.where(fine, self.good + 1, 0.0)
        grown = good >= self.GROWTH_STEPS
        self.scale = torch.where(fine, torch.where(grown, self.scale * 2, self.scale), (self.scale / 2).clamp(min=1.0))
        self.good = torch.where(grown, 0.0, good)

    def state(self) -> tuple[float, float]:
        """Scale and number of good steps, for a checkpoint; waits for the device."""
        return float(self.scale), float(self.good)
