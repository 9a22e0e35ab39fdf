"""The lines that a run begins with: model, device, batch, folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ocrctl.config.settings import Settings, TrainSettings
from ocrctl.inference.devices import worker_processes
from ocrctl.training.device import Placement
from ocrctl.training.schedule import Progress

if TYPE_CHECKING:
    from ocrctl.core.train.pages import PageData
    from ocrctl.core.train.words import TrainingData


def run_header(
    settings: Settings,
    data: TrainingData | PageData,
    placement: Placement,
    parameters: int,
    progress: Progress,
    run: Path,
    start: int,
) -> list[str]:
    """One line each; `start` is the step that the run goes on from."""
    train, spec = settings.train, data.spec
    where = (
        f"{train.devices} x {torch.cuda.get_device_name(0)}"
        if placement.device == "cuda"
        else (f"cpu, {torch.get_num_threads()} threads")
    )
    batch = train.batch_size * train.accumulate * train.devices
    return [
        *placement.notes,
        *_worker_notes(settings.data.workers),
        *(["mkldnn: off (train.mkldnn)"] if not train.mkldnn else []),
        *_clock_notes(train, progress),
        f"model: {spec.name}, {parameters:,} parameters, input {data.card.height}x{data.card.width}x{spec.channels}, "
        + (f"{len(data.card.charset)} characters" if data.card.charset else f"backbone {data.card.model['backbone']}"),
        f"device: {where}, precision {placement.precision}",
        f"batch: {batch} ({train.batch_size} x accumulate {train.accumulate} x {train.devices} device), "
        f"{train.optimizer}, lr {train.lr:g}{f' and {train.muon_lr:g}' if train.optimizer == 'muon' else ''}, "
        f"{train.schedule}, {_length(train, progress)}",
        f"run: {run}" + (f", going on from step {start}" if start else ""),
    ]  # fmt: skip


def _length(train: TrainSettings, progress: Progress) -> str:
    limits = [f"{progress.max_steps} steps"] if progress.max_steps else []
    limits += [f"{train.max_minutes:g} minutes"] if train.max_minutes else []
    return " or ".join(limits)


def _clock_notes(train: TrainSettings, progress: Progress) -> list[str]:
    """What a limit in minutes means for doing the run again."""
    if not train.max_minutes:
        return []
    if progress.max_steps:
        return [
            f"clock: the schedule follows the {progress.max_steps} steps; a run that train.max_minutes stops earlier "
            "is not reproducible"
        ]
    return [
        "clock: the schedule follows train.max_minutes, so this run is not reproducible; train.max_steps makes it so"
    ]


def _worker_notes(asked: int) -> list[str]:
    """That fewer loader processes run than data.workers asks for."""
    started = worker_processes(asked)
    if started == asked:
        return []
    return [f"workers: {started} of data.workers={asked}, one for each core that this process may use"]
