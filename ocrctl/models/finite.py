"""Check weights for values that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ocrctl.errors import InputError


def names_not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the floating-point tensors that hold NaN or infinite values, in order; synchronises once where
    there are none."""
    named = [(name, value.detach()) for name, value in tensors.items() if value.is_floating_point()]
    if not named:
        return []
    sums = torch.stack([value.sum(dtype=torch.float32) for _, value in named]).isfinite().tolist()
    # A finite sum has finite summands; one that is not may only be too large.
    return [n for (n, value), fine in zip(named, sums, strict=True) if not fine and not bool(value.isfinite().all())]


def refuse_not_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise InputError when weights read from `path` are not finite: the model would answer with nonsense."""
    if names := names_not_finite(tensors):
        raise InputError(
            f"{path}: {len(names)} of {len(tensors)} weights hold NaN or infinite values, first {names[0]}.",
            hint="use a checkpoint from before training broke them; lower train.lr in a new run",
        )
