"""Exponential moving average of the weights, which is validated and saved where it is enabled.

Polyak, Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; the growing decay of the first steps is
TensorFlow's ExponentialMovingAverage: min(decay, (1 + step) / (10 + step)).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Average of a model's parameters and running statistics."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """`decay` in 0..1, the share of the old average that a step keeps."""
        self.decay = decay
        self.tensors = {name: value.detach().clone() for name, value in _floats(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int, blocked: Tensor) -> None:
        """Take in the weights after `step` (1-based), unless the scalar `blocked` is not 0; does not synchronise."""
        decay = min(self.decay, (1 + step) / (10 + step))
        stop = blocked > 0
        for name, value in _floats(model).items():
            kept = self.tensors[name]
            kept.lerp_(torch.where(stop, kept, value.detach()), 1 - decay)  # a bad weight must not be multiplied in

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights and the average."""
        for name, value in _floats(model).items():
            kept = value.detach().clone()
            value.detach().copy_(self.tensors[name])
            self.tensors[name].copy_(kept)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over a saved average."""
        for name, value in self.tensors.items():
            value.copy_(tensors[name])


def _floats(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict(keep_vars=True).items() if value.is_floating_point()}
