"""`train --estimate`: project the memory of one training step."""

from __future__ import annotations

from dataclasses import dataclass

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard, recognition_card
from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings
from ocrctl.core.streams import choose_charset
from ocrctl.errors import UsageError
from ocrctl.models.memory import TrainingMemory
from ocrctl.models.registry import DEFAULT_ARCH, family_of, spec_for
from ocrctl.training.device import Accelerator
from ocrctl.training.projected import estimate_memory


@dataclass(frozen=True)
class Estimate:
    """Memory of one step in bytes, by part, for the device and precision of the settings, present or not."""

    arch: str
    device: str
    precision: str
    batch_size: int
    height: int
    width: int
    memory: TrainingMemory
    total: int


def estimate(settings: Settings) -> Estimate:
    """Project the memory of one step. `train.device=cpu` projects for a CPU, anything else for a GPU.

    Raises UsageError for an autoregressive model, whose step depends on values.
    """
    spec = spec_for(settings.arch or DEFAULT_ARCH, settings.model)
    if family_of(spec.name).objective not in ("ctc", "maps"):
        raise UsageError(f"--estimate: the memory of {spec.name} depends on its labels and is not projected.")
    device = "cpu" if settings.train.device == "cpu" else "cuda"
    precision: str = settings.train.precision
    if precision == "auto" or (device == "cpu" and precision == "16-mixed"):
        precision = "bf16-mixed" if device == "cuda" else "32-true"
    card = _card(settings, spec)
    memory = estimate_memory(card, settings.train, Accelerator(device, precision))
    return Estimate(
        spec.name, device, precision, settings.train.batch_size, card.height, card.width, memory, memory.total
    )


def _card(settings: Settings, spec: ModelSpec) -> ModelCard:
    page = settings.page
    if spec.task == "detection":
        return detection_card(spec, settings.model, height=page.height, width=page.width, side=page.side)
    return recognition_card(spec, choose_charset(settings, spec).chars)
