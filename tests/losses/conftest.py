"""Targets of small pages, as the collate hands them over: two rectangles of text and a do-not-care edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("_local_scalar_dense", "item", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive")


class NoHostSync(TorchDispatchMode):
    """Fails on every operation whose result, or the size of whose result, the host would have to wait for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = func.overloadpacket.__name__
        assert name not in WAITING, f"{func} waits for the device"
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            assert all(i is None or i.dtype != torch.bool for i in args[1]), f"{func} by a mask waits for the device"
        return func(*args, **(kwargs or {}))


@pytest.fixture
def no_host_sync() -> type[TorchDispatchMode]:
    return NoHostSync


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
