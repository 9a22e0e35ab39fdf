"""Estimate the memory of one training step by running it with fake tensors.

A dispatch mode sees every operation of the real forward pass, loss and backward pass and adds up the storages that live
at the same time, so what autograd saves, what autocast casts and what an operation needs for a moment are all counted.
Formulas give the rest: gradients and optimiser states (a multiple of the parameters), the workspace of the convolution
library, and the runtime.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ocrctl.config.model_card import ModelCard
from ocrctl.models.build import build_model
from ocrctl.models.ocr_model import OCRModel

ADAMW_STATES = 2  # float32 numbers that AdamW keeps for each parameter
CASTS = {"32-true": None, "16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
RUNTIME = {"cuda": 500 * 2**20, "cpu": 350 * 2**20}  # CUDA context and kernels; interpreter, PyTorch and this package


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of one step by part.

    parameters: with running statistics and, where one is kept, their moving average. gradients: float32, kept over
    accumulated batches. optimizer: its states. activations: the most that forward pass, loss and backward pass hold at
    once, batch included. workspace: of the convolution library. runtime: what the process holds before it has a model.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    workspace: int
    runtime: int

    @property
    def total(self) -> int:
        """Return the sum of all parts."""
        return sum(getattr(self, part.name) for part in fields(self))


def training_memory(
    card: ModelCard,
    loss: Callable[[OCRModel, Tensor], Tensor],
    *,
    batch: int,
    precision: str,
    device: str = "cuda",
    states: int = ADAMW_STATES,
    channels_last: bool = True,
    averaged: bool = False,
) -> TrainingMemory:
    """Estimate what one step of `card`'s model needs with `batch` images of the card's size.

    loss: the model and uint8 images (N, C, H, W) to a scalar; it makes its own targets, which count as well.
    precision: "32-true", "16-mixed" or "bf16-mixed". device: "cuda" or "cpu". states: float32 numbers that the
    optimiser keeps for each parameter. averaged: a moving average of the weights is kept beside them. Raises ValueError
    for another precision or device.
    """
    if precision not in CASTS or device not in RUNTIME:
        raise ValueError(f"precision {precision!r} on {device!r}: expected one of {list(CASTS)} on {list(RUNTIME)}")
    model = build_model(card).train()  # before the fake mode: initialisation reads values
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        _make_fake(model, mode)
        if channels_last:
            _to_channels_last(model)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)  # there already when batches are accumulated
        trained = sum(p.numel() for p in model.parameters())
        step = LiveBytes(_storages(model))
        dtype = CASTS[precision]
        with step:
            width = card.width if card.kept is None else card.kept.batch_width(card.width)  # the widest batch
            images = torch.zeros(batch, card.channels, card.height, width, dtype=torch.uint8)
            with torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext():
                value = loss(model, images)
            value.backward()  # type: ignore[no-untyped-call]
    weights = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    return TrainingMemory(
        parameters=2 * weights if averaged else weights,
        gradients=4 * trained,
        optimizer=4 * states * trained,
        activations=step.peak,
        workspace=step.widest_convolution,
        runtime=RUNTIME[device],
    )


def _make_fake(model: nn.Module, mode: FakeTensorMode) -> None:
    """Replace every parameter and buffer by a fake tensor, which has its shape and no data."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(mode.from_tensor(parameter.detach())))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, mode.from_tensor(buffer))


def _to_channels_last(model: nn.Module) -> None:
    """What model.to(memory_format=...) does, which tensors without data refuse."""
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            if p.ndim == 4:
                setattr(module, name, nn.Parameter(p.detach().contiguous(memory_format=torch.channels_last)))


def _storages(model: nn.Module) -> Iterable[torch.UntypedStorage]:
    for tensor in (*model.parameters(), *model.buffers()):
        yield tensor.untyped_storage()
        if tensor.grad is not None:
            yield tensor.grad.untyped_storage()


class LiveBytes(TorchDispatchMode):
    """Adds up the storages that operations make until the last tensor on each is gone.

    `peak`: the most bytes alive at once. `widest_convolution`: input, weights and output of the largest convolution, a
    copy of which the library may make to bring them into its own order.
    """

    def __init__(self, known: Iterable[torch.UntypedStorage]) -> None:
        """`known`: storages that are counted elsewhere."""
        super().__init__()
        self.seen: dict[int, Any] = {}
        self.live = self.peak = self.widest_convolution = 0
        for storage in known:
            self._watch(storage, 0)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and count what it made."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._watch(storage, storage.nbytes())
        if func is torch.ops.aten.convolution.default:
            self.widest_convolution = max(self.widest_convolution, args[0].nbytes + args[1].nbytes + result.nbytes)
        return result

    def _watch(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key in self.seen:
            return
        self.seen[key] = weakref.finalize(storage, self._freed, key, size)
        self.live += size
        self.peak = max(self.peak, self.live)

    def _freed(self, key: int, size: int) -> None:
        del self.seen[key]
        self.live -= size
