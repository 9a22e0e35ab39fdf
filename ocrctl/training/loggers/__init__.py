"""Loggers besides metrics.csv: one adapter each, imported only when it is chosen."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ocrctl.config.settings import Settings
from ocrctl.errors import MissingRequirement
from ocrctl.training.loggers.base import ExtraLogger


def check_logger(settings: Settings) -> None:
    """Raise MissingRequirement when the chosen logger is not installed."""
    name = settings.log.logger
    if name != "none" and find_spec(name) is None:
        raise MissingRequirement(
            f"log.logger is {name}, which is not installed.",
            hint=f"pip install 'ocrctl[{name}]', or --set log.logger=none",
        )


def extra_logger(settings: Settings, run: Path, report: Callable[[str], None], *, resumed: bool) -> ExtraLogger | None:
    """Create the chosen logger, after `check_logger`, and report where its figures are. `resumed`: the run continues
    from a checkpoint.

    Raises MissingRequirement when a session cannot be opened.
    """
    logger = _create(settings, run, report, resumed=resumed)
    if logger is not None:
        report(f"{settings.log.logger}: {logger.where}")
    return logger


def _create(settings: Settings, run: Path, report: Callable[[str], None], *, resumed: bool) -> ExtraLogger | None:
    if settings.log.logger == "wandb":
        from ocrctl.training.loggers.wandb import WandbLogger

        return WandbLogger(settings, run, report, resumed=resumed)
    if settings.log.logger == "tensorboard":
        from ocrctl.training.loggers.tensorboard import TensorboardLogger

        return TensorboardLogger(run)
    if settings.log.logger == "trackio":
        from ocrctl.training.loggers.trackio import TrackioLogger

        return TrackioLogger(settings, run, report, resumed=resumed)
    if settings.log.logger == "mlflow":
        from ocrctl.training.loggers.mlflow import MlflowLogger

        return MlflowLogger(settings, run, report, resumed=resumed)
    return None
