"""Header lines of a run: model, device, batch, folder."""

from __future__ import annotations

from pathlib import Path

import torch

from ocrctl.config.settings import Settings, TrainSettings
from ocrctl.core.train.task import TrainingTask
from ocrctl.errors import counted
from ocrctl.models.freeze import Frozen
from ocrctl.runtime import worker_processes
from ocrctl.training.device import Accelerator
from ocrctl.training.schedule import Progress


def run_header(
    settings: Settings,
    task: TrainingTask,
    accelerator: Accelerator,
    parameters: int,
    frozen: Frozen,
    progress: Progress,
    run: Path,
    start: int,
) -> list[str]:
    """Return the header lines; `start` is the step that the run resumes from, 0 for a new one."""
    train, spec, card = settings.train, task.spec, task.card
    where = (
        f"{train.processes} x {torch.cuda.get_device_name(0)}"
        if accelerator.device == "cuda"
        else f"{f'{train.processes} x ' if train.processes > 1 else ''}cpu, "
        + counted(torch.get_num_threads(), "thread")
    )
    backbone = card.model.get("backbone", "of its own")
    return [
        *accelerator.notes,
        *_worker_notes(settings.data.workers, train.devices),
        *(["mkldnn: off (train.mkldnn)"] if not train.mkldnn else []),
        *_max_minutes_notes(train, progress),
        f"model: {spec.name}, {parameters:,} parameters, input {card.height}x{card.widths}x{spec.channels}, "
        + (counted(len(card.charset), "character") if card.charset else f"backbone {backbone}"),
        *([f"frozen: {frozen.what}; {parameters - frozen.parameters:,} of {parameters:,} parameters train"]
          if frozen.parameters else []),
        f"device: {where}, precision {accelerator.precision}",
        f"batch: {train.samples_per_step} ({train.batch_size} x accumulate {train.accumulate} x {train.processes} "
        f"device{'s' if train.processes > 1 else ''}), "
        f"{train.optimizer}, lr {train.lr:g}{f' and {train.muon_lr:g}' if train.optimizer == 'muon' else ''}, "
        f"{train.schedule}, {_length(train, progress)}",
        f"run: {run}" + (f", resumed from step {start}" if start else ""),
    ]  # fmt: skip


def _length(train: TrainSettings, progress: Progress) -> str:
    limits = [counted(progress.max_steps, "step")] if progress.max_steps else []
    limits += [f"{train.max_minutes:g} minute{'s' * (train.max_minutes != 1)}"] if train.max_minutes else []
    return " or ".join(limits)


def _max_minutes_notes(train: TrainSettings, progress: Progress) -> list[str]:
    """Return the line about reproducibility under train.max_minutes."""
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


def _worker_notes(requested: int, sharing: int) -> list[str]:
    """Return the line about fewer loader processes than data.workers."""
    started = worker_processes(requested, sharing)
    if started == requested:
        return []
    cores = "this process may use" if sharing == 1 else f"{sharing} training processes share"
    return [f"workers: {started} of data.workers={requested}, one for each core that {cores}"]
