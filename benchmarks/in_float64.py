"""Run an ocrctl command whose training computes in float64, to tell rounding from a difference of method.

    python benchmarks/in_float64.py train dbnet -d SPEC -o RUN --set train.precision=32-true ...
    torchrun --standalone --nproc-per-node 2 benchmarks/in_float64.py train ...

Weights, activations, losses, gradients and the states of the optimiser are float64, about 1e-16 instead of 6e-8 for the
rounding of one operation. Hard example mining still bins losses by their float32 bits. Not a precision of `ocrctl`:
float64 costs several times the time and trains nothing better.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from ocrctl.cli.app import run
from ocrctl.cli.leave import leave
from ocrctl.training.guard import StepGuard
from ocrctl.training.module import TrainingModule


def compute_in_float64() -> None:
    """Convert the model of a run before its processes and optimiser take hold of the parameters, and from then on let
    `Tensor.float()`, by which models and losses leave lower precisions, return float64."""
    create, record = TrainingModule.__init__, StepGuard.record

    def init(self, model, *rest, **named) -> None:  # type: ignore[no-untyped-def]
        create(self, model.double(), *rest, **named)
        torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign,assignment]

    def float32_flag(self, loss: Tensor, norm: Tensor, *rest: Tensor | None) -> Tensor:  # type: ignore[no-untyped-def]
        return record(self, loss.to(torch.float32), norm.to(torch.float32), *rest).to(torch.float32)

    TrainingModule.__init__ = init  # type: ignore[method-assign]
    StepGuard.record = float32_flag  # type: ignore[method-assign,assignment]  # fused optimisers read a float32 flag


if __name__ == "__main__":
    compute_in_float64()
    leave(SystemExit(run(sys.argv[1:])))  # as ocrctl ends: at the interpreter's own end a thread of gloo may abort it
