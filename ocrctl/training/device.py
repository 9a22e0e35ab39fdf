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
    usable or has too few devices, UsageError for train.sync_batchnorm without several GPUs."""
    usable = torch.cuda.is_available()
    if train.device == "cuda" and not usable:
        raise MissingRequirement(
            "train.device is cuda, but PyTorch finds no usable CUDA device.", hint="ocrctl diagnose cuda tells why"
        )
    device = "cuda" if usable and train.device != "cpu" else "cpu"
    count = torch.cuda.device_count() if device == "cuda" else train.devices
    if count < train.devices:
        raise MissingRequirement(
            f"train.devices is {train.devices}, but this process sees {count} CUDA devices.",
            hint="every process must see the GPUs of all on its machine (SLURM: --gpus-per-node, not --gpus-per-task)",
        )
    if train.sync_batchnorm and (device == "cpu" or train.processes == 1):
        raise UsageError(
            "train.sync_batchnorm: requires several GPUs.", hint="leave it out, or --devices N on a machine with GPUs"
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
