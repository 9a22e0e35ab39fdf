"""Checks for values that are not finite, in arrays and in weights. Imports torch only to check weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def not_finite(values: NDArray[np.floating], *, infinite: bool = True) -> str:
    """Describe the values that are NaN or, with `infinite`, infinite: "2 NaN and 1 infinite value"; "" for none."""
    flat = values.ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.dot(flat, flat)  # finite unless a value is not, or is very large
    if np.isfinite(total):
        return ""
    nan, inf = int(np.isnan(flat).sum()), int(np.isinf(flat).sum()) if infinite else 0
    counts = ((nan, "NaN"), (inf, "infinite value" if inf == 1 else "infinite values"))
    return " and ".join(f"{count} {name}" for count, name in counts if count)


def names_not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the floating-point tensors that hold NaN or infinite values, in order; waits for the device once where
    there are none."""
    import torch

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
