"""Batches as nested dictionaries of tensors: moved to a device, or one sample taken out."""

from __future__ import annotations

from typing import Any

import torch


def to_device(batch: Any, device: torch.device) -> Any:
    """The same dictionary with every tensor on `device`."""
    return {name: to_device(v, device) if isinstance(v, dict) else v.to(device) for name, v in batch.items()}


def one_row(batch: Any, row: int) -> Any:
    """Sample `row` as a batch of one: every tensor (N, ...) becomes (1, ...)."""
    return {name: one_row(v, row) if isinstance(v, dict) else v[row : row + 1] for name, v in batch.items()}
