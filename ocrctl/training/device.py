"""Resolve the device and precision of a run."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ocrctl.config.settings import TrainSettings
from ocrctl.errors import MissingRequirement, UsageError
from ocrctl.runtime import computes_bf16

DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}  # what autocast computes in, by train.precision


@dataclass(frozen=True)
class Accelerator:
    """Device ("cpu" or "cuda") and Lightning precision of a run, and notes for its header."""

    device: str
    precision: str
    notes: tuple[str, ...] = ()


def resolve_accelerator(train: TrainSettings) -> Accelerator:
    """Resolve `train.device` and `train.precision`. Raises MissingRequirement when CUDA was asked for and is not
    usable, UsageError for more than one GPU, whose processes would not share the samples yet."""
    usable = torch.cuda.is_available()
    if train.device == "cuda" and not usable:
        raise MissingRequirement(
            "train.device is cuda, but PyTorch finds no usable CUDA device.", hint="ocrctl diagnose cuda tells why"
        )
    device = "cuda" if usable and train.device != "cpu" else "cpu"
    if train.devices > 1:
        raise UsageError(
            f"train.devices is {train.devices}, but a run trains on one GPU so far: each process would learn the same"
            " samples.",
            hint="leave train.devices at 1 and raise train.accumulate for larger batches",
        )
    notes = []
    precision: str = train.precision
    if precision == "auto":
        precision = "bf16-mixed" if computes_bf16(device) else "32-true"
    elif device == "cpu" and precision == "16-mixed":
        precision = "32-true"
        notes.append("16-mixed needs CUDA; training in 32-true on this CPU")
    elif precision == "bf16-mixed" and not computes_bf16(device):
        if device == "cpu":
            precision = "32-true"
            notes.append("this CPU does not compute bf16; training in 32-true, which is faster here")
        else:
            notes.append("this GPU emulates bf16: slow; 16-mixed suits it better")
    return Accelerator(device, precision, tuple(notes))
