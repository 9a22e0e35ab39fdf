"""Run one training step on made-up images: count what the host waits for, and find the largest batch that fits."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.models.build import build_model
from ocrctl.models.card import card_tokenizer
from ocrctl.models.ocr_model import OCRModel
from ocrctl.training.device import DTYPES, resolve_accelerator
from ocrctl.training.objectives import choose_objective
from ocrctl.training.optimizer import build_optimizer, clip

# Operations whose result, or its size, the host has to wait for.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}  # by a boolean mask
NO_ENGINE = ("unable to find an engine", "CUDNN_STATUS_NOT_SUPPORTED", "CUDNN_STATUS_ALLOC_FAILED", "out of memory")
LABEL = 4  # characters of a made-up label


class HostWaits(TorchDispatchMode):
    """Collect the operations for which the host waits for the device; works on a CPU as well."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and record it."""
        name = func.overloadpacket.__name__
        masked = name in INDEXING and any(isinstance(i, Tensor) and i.dtype is torch.bool for i in args[1])
        to_host = name == "_to_copy" and args[0].is_cuda and str((kwargs or {}).get("device")) == "cpu"
        if name in WAITING or masked or to_host:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class StepRequest:
    """The model and the settings of the step."""

    card: ModelCard
    train: TrainSettings


class TrainingStep:
    """One model on one device, and steps of it on noise."""

    def __init__(self, request: StepRequest, device: torch.device) -> None:
        torch.manual_seed(0)
        self.card, self.train, self.device = request.card, request.train, device
        self.model: OCRModel = build_model(request.card).to(device).train()
        if request.train.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective = choose_objective(request.card, request.train)
        self.optimizer = build_optimizer(self.model, request.train)
        accelerator = resolve_accelerator(request.train)
        self.dtype = DTYPES.get(accelerator.precision) if device.type == accelerator.device else None

    def batch(self, size: int) -> dict[str, Any]:
        """Return `size` images of noise and their targets, on the device."""
        card = self.card
        width = card.width if card.kept is None else card.kept.batch_width(card.width)
        images = torch.randint(0, 256, (size, card.channels, card.height, width), dtype=torch.uint8)
        found: dict[str, Any] = {"images": images, "ids": torch.arange(size)}
        if card.task == "detection":
            from ocrctl.training.projected import blank_targets  # imports what fake tensors need, half a second

            found["targets"] = blank_targets(card, size)
        else:
            text = card.charset[: min(LABEL, card.max_label_length)]
            labels = torch.tensor(card_tokenizer(card).encode(text)).expand(size, -1)
            found |= {"labels": labels.clone(), "lengths": torch.full((size,), labels.shape[1])}
            if card.kept is not None:
                found["widths"] = torch.full((size,), card.width)
        moved = {name: value.to(self.device) for name, value in found.items() if isinstance(value, Tensor)}
        targets = {name: value.to(self.device) for name, value in found.get("targets", {}).items()}
        return moved | ({"targets": targets} if targets else {})

    def run(self, batch: dict[str, Any], *, update: bool = True) -> None:
        """Run forward, backward and clipping, and update the weights."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            loss = self.objective(self.model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        clip(list(self.model.parameters()), self.train.clip_norm, None)
        if update:
            self.optimizer.step()
        for parameter in self.model.parameters():
            parameter.grad = None


def host_waits(request: StepRequest, device: torch.device) -> list[str]:
    """Return the operations of one training step for which the host waits. On CUDA the first step is not counted, where
    the optimiser creates its states; on a CPU the update is left out: its first call imports torch._dynamo, which takes
    as long as importing torch."""
    step = TrainingStep(request, device)
    batch = step.batch(2)
    update = device.type == "cuda"
    if update:
        step.run(batch)
    with HostWaits() as waits:
        step.run(batch, update=update)
    return waits.found


def largest(fits: Callable[[int], bool], wanted: int, most: int) -> int:
    """Return the largest number up to `most` for which `fits` is true, by doubling from `wanted` or halving it, and
    bisection; 0 if there is none."""
    low, high = 0, wanted
    if fits(wanted):
        low = wanted
        while low < most and fits(high := min(most, 2 * low)):
            low = high
        if low >= most:
            return most
    while high - low > max(1, low // 8):  # within an eighth: each try is a training step
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def largest_batch(request: StepRequest, device: torch.device, most: int = 4096) -> tuple[int, str]:
    """Return the largest batch whose training step fits into the memory of a CUDA device, and the first error of a
    larger one."""
    problems: list[str] = []
    step = TrainingStep(request, device)

    def fits(size: int) -> bool:
        try:
            step.run(step.batch(size))
            torch.cuda.synchronize(device)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if not any(part.lower() in str(error).lower() for part in NO_ENGINE):
                raise
            problems.append(str(error).splitlines()[0])
            return False
        finally:
            for parameter in step.model.parameters():
                parameter.grad = None
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
        return True

    return largest(fits, request.train.batch_size, most), problems[0] if problems else ""


def step_name(request: StepRequest) -> str:
    """Describe the step for a row: architecture, size and batch."""
    card = request.card
    return f"{card.arch} at {card.width}x{card.height}"
