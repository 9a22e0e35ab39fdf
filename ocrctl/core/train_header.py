"""The lines that a run begins with: model, device, batch, folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ocrctl.config.settings import Settings
from ocrctl.training.device import Placement

if TYPE_CHECKING:
    from ocrctl.core.train_data import TrainingData
    from ocrctl.core.train_pages import PageData


def run_header(
    settings: Settings,
    data: TrainingData | PageData,
    placement: Placement,
    parameters: int,
    steps: int | None,
    run: Path,
    start: int,
) -> list[str]:
    """One line each; `steps` None when the clock ends the run, `start` the step it goes on from."""
    train, spec = settings.train, data.spec
    where = (
        f"{train.devices} x {torch.cuda.get_device_name(0)}"
        if placement.device == "cuda"
        else (f"cpu, {torch.get_num_threads()} threads")
    )
    limits = [f"{steps} steps"] if steps else []
    limits += [f"{train.max_minutes:g} minutes"] if train.max_minutes else []
    length = " or ".join(limits)
    batch = train.batch_size * train.accumulate * train.devices
    return [
        *placement.notes,
        f"model: {spec.name}, {parameters:,} parameters, input {data.card.height}x{data.card.width}x{spec.channels}, "
        + (f"{len(data.card.charset)} characters" if data.card.charset else f"backbone {data.card.model['backbone']}"),
        f"device: {where}, precision {placement.precision}",
        f"batch: {batch} ({train.batch_size} x accumulate {train.accumulate} x {train.devices} device), "
        f"{train.optimizer}, lr {train.lr:g}{f' and {train.muon_lr:g}' if train.optimizer == 'muon' else ''}, "
        f"{train.schedule}, {length}",
        f"run: {run}" + (f", going on from step {start}" if start else ""),
    ]  # fmt: skip
