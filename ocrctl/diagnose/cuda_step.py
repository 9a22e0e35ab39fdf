"""Run one training step on made-up images: count what the host waits for, and find the largest batch that fits."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.training.batch_search import LARGEST, search_batch
from ocrctl.training.device import Accelerator, resolve_accelerator
from ocrctl.training.objectives import to_device
from ocrctl.training.trial import TrialStep, trial_batch

# Operations whose result, or its size, the host has to wait for.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal"}
COPIES = {"_to_copy", "copy_"}
LENGTHS = {"_ctc_loss", "_ctc_loss_backward"}  # on a GPU they read lengths on the host and copy them back
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}  # by a boolean mask, or by positions on the host
NO_ENGINE = ("unable to find an engine", "CUDNN_STATUS_NOT_SUPPORTED", "CUDNN_STATUS_ALLOC_FAILED", "out of memory")


class HostWaits(TorchDispatchMode):
    """Collect the operations for which the host waits for the device; works on a CPU as well."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Leave torch._dynamo alone: nothing is compiled here, and PyTorch would import it on the first operation."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and record it."""
        name, named = func.overloadpacket.__name__, kwargs or {}
        masked = name in INDEXING and any(
            isinstance(i, Tensor) and (i.dtype is torch.bool or i.device.type != args[0].device.type) for i in args[1]
        )
        lengths = name in LENGTHS and not args[0].is_cpu
        if name in WAITING or masked or lengths or (name in COPIES and _copy_waits(args, named)):
            self.found.append(name)
        return func(*args, **named)


def _copy_waits(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether the host waits for a copy, `_to_copy(source, device=...)` or `copy_(target, source)`: it does for
    every copy to the CPU, and for one from the CPU without non_blocking."""
    if len(args) > 1:
        source, target = args[1].device, args[0].device
    else:
        source, target = args[0].device, torch.device(kwargs.get("device") or args[0].device)
    if source.type == target.type:
        return False
    without = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
    return target.type == "cpu" or (source.type == "cpu" and without)


@dataclass(frozen=True)
class StepRequest:
    """The model and the settings of the step."""

    card: ModelCard
    train: TrainSettings


def host_waits(request: StepRequest, device: torch.device) -> list[str]:
    """Return the operations of one training step for which the host waits. On CUDA the first step is not counted, where
    the optimiser creates its states; on a CPU the update is left out: an optimiser imports torch._dynamo, which takes
    as long as the other checks together."""
    step = _trial_step(request, device)
    batch = to_device(trial_batch(request.card, 2), device)
    update = device.type == "cuda"
    if update:
        step.run(batch)
    with HostWaits() as waits:
        step.run(batch, update=update)
    return waits.found


def largest_batch(request: StepRequest, device: torch.device, most: int = LARGEST) -> tuple[int, str]:
    """Return the largest batch, up to `most` images, whose training step fits into the memory of a CUDA device, and the
    first error of a larger one."""
    problems: list[str] = []
    step = _trial_step(request, device)

    def fits(size: int) -> bool:
        try:
            step.run(to_device(trial_batch(request.card, size), device))
            torch.cuda.synchronize(device)
        except RuntimeError as error:  # torch.OutOfMemoryError is one
            if not any(part.lower() in str(error).lower() for part in NO_ENGINE):
                raise
            problems.append(str(error).splitlines()[0])
            return False
        finally:
            step.drop_gradients()
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
        return True

    return search_batch(request.train.batch_size, fits, most).size, problems[0] if problems else ""


def _trial_step(request: StepRequest, device: torch.device) -> TrialStep:
    torch.manual_seed(0)
    resolved = resolve_accelerator(request.train)
    precision = resolved.precision if resolved.device == device.type else "32-true"
    return TrialStep(request.card, request.train, Accelerator(device.type, precision), device)
