"""`train --estimate`: project the memory of one training step."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard, recognition_card
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings, TrainSettings
from ocrctl.core.streams import choose_charset
from ocrctl.errors import UsageError
from ocrctl.models.memory import TrainingMemory
from ocrctl.models.registry import DEFAULT_ARCH, family_of, spec_for
from ocrctl.training.device import Accelerator, resolve_accelerator
from ocrctl.training.projected import estimate_memory


@dataclass(frozen=True)
class Estimate:
    """Memory of one step in bytes, by part, for `device` and `precision`. `why`: how the device was chosen."""

    arch: str
    device: str
    precision: str
    batch_size: int
    height: int
    width: int
    memory: TrainingMemory
    total: int
    why: str


def estimate(settings: Settings) -> Estimate:
    """Project the memory of one step on the device that would train: that of `train.device`, present or not, else a
    GPU where PyTorch finds one, else the CPU.

    Raises UsageError for an autoregressive model, whose step depends on values.
    """
    spec = spec_for(settings.arch or DEFAULT_ARCH, settings.model)
    if family_of(spec.name).objective not in ("ctc", "maps"):
        raise UsageError(f"--estimate: the memory of {spec.name} depends on its labels and is not projected.")
    accelerator, why = _accelerator(settings.train)
    card = _card(settings, spec)
    memory = estimate_memory(card, settings.train, accelerator)
    return Estimate(
        spec.name, accelerator.device, accelerator.precision, settings.train.batch_size, card.height, card.width,
        memory, memory.total, why,
    )  # fmt: skip


def _accelerator(train: TrainSettings) -> tuple[Accelerator, str]:
    """Return the device and precision to project for, and how they were chosen."""
    if train.device == "cuda" and not torch.cuda.is_available():
        precision = "bf16-mixed" if train.precision == "auto" else train.precision
        return Accelerator("cuda", precision), "train.device=cuda; this machine has no GPU"
    found = resolve_accelerator(train.model_copy(update={"devices": 1, "sync_batchnorm": False}))
    if train.device != "auto":
        return found, f"train.device={train.device}"
    gpu = found.device == "cuda"
    return found, "the GPU of this machine" if gpu else "no GPU here; for one: --set train.device=cuda"


def _card(settings: Settings, spec: ModelSpec) -> ModelCard:
    page = settings.page
    if spec.task == "detection":
        return detection_card(spec, settings.model, height=page.height, width=page.width, side=page.side)
    return recognition_card(spec, choose_charset(settings, spec).chars)
