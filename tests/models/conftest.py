"""Targets of small pages, as the collate hands them over: two rectangles of text and a do-not-care edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor


@pytest.fixture
def page_targets() -> Callable[..., Mapping[str, Tensor]]:
    """make(kind, n, side, text=True) -> targets of n pages, `side` pixels wide at the network's input."""
    return make


def make(kind: str, count: int, side: int, text: bool = True) -> dict[str, Tensor]:
    size = {"db": side, "pan": side // 4, "craft": side // 2}[kind]
    words = torch.zeros(count, size, size)
    if text:
        words[:, size // 8 : size // 3, size // 8 : size // 2] = 1
        words[:, size // 2 : 3 * size // 4, size // 2 : 7 * size // 8] = 2
    inner = torch.zeros_like(words)
    if text:
        inner[:, size // 8 + 1 : size // 3 - 1, size // 8 + 1 : size // 2 - 1] = 1
        inner[:, size // 2 + 1 : 3 * size // 4 - 1, size // 2 + 1 : 7 * size // 8 - 1] = 1
    care = torch.ones_like(words)
    care[:, :, -1] = 0
    if kind == "db":
        border = torch.where(words > 0, 0.7, 0.3) * (words > 0)
        return {
            "shrink": inner.to(torch.uint8), "shrink_mask": care.to(torch.uint8), "border": border.half(),
            "border_mask": (words > 0).to(torch.uint8),
        }  # fmt: skip
    if kind == "pan":
        return {"instance": words.int(), "kernel": inner.to(torch.uint8), "mask": care.to(torch.uint8)}
    return {"region": (words > 0).half(), "affinity": inner.half(), "mask": care.to(torch.uint8)}
