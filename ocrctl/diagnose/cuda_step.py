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
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}  # by a boolean mask
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
