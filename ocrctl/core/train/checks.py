"""Check the settings of a run against the architecture and the machine, before any data is read."""

from __future__ import annotations

from ocrctl.config.model_spec import ModelSpec
from ocrctl.config.settings import Settings
from ocrctl.errors import UsageError
from ocrctl.inference.locate import locate
from ocrctl.runtime import model_threads
from ocrctl.training.device import Accelerator, resolve_accelerator
from ocrctl.training.loggers import check_logger


def check_settings(settings: Settings, spec: ModelSpec, *, fresh: bool) -> Accelerator:
    """Check the settings; returns device and precision of the run. `fresh`: the run starts from new weights or --from,
    not from its own checkpoint.

    Raises UsageError for settings that contradict each other or the architecture, MissingRequirement for a missing
    device or logger, InputError when --from names no model.
    """
    accelerator = resolve_accelerator(settings.train)
    check_logger(settings)
    model_threads(settings.train.threads)
    if settings.model.pretrained and not spec.backbones:
        raise UsageError(f"model.pretrained: {spec.name} has no backbone with ImageNet weights.", hint="--from MODEL")
    if settings.train.freeze_norm and not settings.model.init:
        raise UsageError(
            "train.freeze_norm: requires --from: a new model has no statistics to keep.", hint="--from MODEL"
        )
    if fresh and settings.model.init:
        locate(settings.model.init)
    return accelerator
