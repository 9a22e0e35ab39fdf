"""The processes of a distributed run, as torchrun or srun describe them in the environment. Free of torch.

One process trains unless more are asked for: by torchrun, by srun, or by `train.devices`, for which `ocrctl train`
starts torchrun's agent itself (core/train/launch.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ocrctl.config.settings import Settings, TrainSettings
from ocrctl.errors import UsageError

SLURM_INTERACTIVE = "4294967290"  # step of the shell of salloc, which runs one task


@dataclass(frozen=True)
class ProcessInfo:
    """This process among those of a run: `rank` of `world`, `local_rank` of the `devices` on its machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    devices: int = 1
    launcher: Literal["", "torchrun", "srun"] = ""

    @property
    def nodes(self) -> int:
        """Return the number of machines."""
        return self.world // self.devices

    @property
    def first(self) -> bool:
        """Return whether this is the process that writes and reports."""
        return self.rank == 0


ALONE = ProcessInfo()


def find_process(words: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> ProcessInfo:
    """Return which process of a run this is. `words`: the command line without the program, for the corrected command.

    Raises UsageError inside a SLURM allocation of several tasks that were not started by srun, and for machines with
    different numbers of tasks.
    """
    if "TORCHELASTIC_RUN_ID" in environ:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        rank, world, local, devices = (_number(environ, name) for name in names)
        return _checked(ProcessInfo(rank, world, local, devices, "torchrun"))
    tasks = _number(environ, "SLURM_NTASKS", _number(environ, "SLURM_NPROCS", 1))
    if tasks == 1:
        return ProcessInfo()
    if environ.get("SLURM_STEP_NUM_TASKS") != str(tasks) or environ.get("SLURM_STEP_ID") == SLURM_INTERACTIVE:
        command = " ".join(("ocrctl", *(_without_devices(words) or ("train",))))
        raise UsageError(
            f"This SLURM allocation has {tasks} tasks, but srun did not start them: one process would train, and wait "
            "for the others.",
            hint=f"srun --kill-on-bad-exit=1 {command} (for one process add --ntasks=1 to srun)",
        )
    if "SLURM_NTASKS_PER_NODE" not in environ:
        raise UsageError(
            f"SLURM started {tasks} tasks without a number for each machine.",
            hint="#SBATCH --ntasks-per-node=N (one for each GPU) instead of --ntasks",
        )
    devices = _number(environ, "SLURM_NTASKS_PER_NODE")
    return _checked(
        ProcessInfo(_number(environ, "SLURM_PROCID"), tasks, _number(environ, "SLURM_LOCALID"), devices, "srun")
    )


def _without_devices(words: Sequence[str]) -> list[str]:
    """Return the command line without --devices: srun's tasks are the number."""
    kept = [word for word in words if not word.startswith("--devices=")]
    while "--devices" in kept:
        position = kept.index("--devices")
        del kept[position : position + 2]
    return kept


def with_processes(settings: Settings, process: ProcessInfo, requested: bool) -> Settings:
    """Return the settings with the devices and machines that the launcher started.

    `requested`: whether this command line or its profiles set train.devices or train.nodes. Raises UsageError when they
    contradict the launcher, and for several machines without one.
    """
    train = settings.train
    if not process.launcher:
        if train.nodes > 1:
            raise UsageError(
                f"train.nodes is {train.nodes}: srun or torchrun must start the processes of several machines.",
                hint="srun --kill-on-bad-exit=1 ocrctl train ... in an sbatch file (how-to: train on many GPUs)",
            )
        return settings
    if requested and (train.devices, train.nodes) != (process.devices, process.nodes):
        raise UsageError(
            f"train.devices is {train.devices} and train.nodes {train.nodes}, but {process.launcher} started "
            f"{process.devices} processes on each of {process.nodes} machines.",
            hint=f"--set train.devices={process.devices} --set train.nodes={process.nodes}, or leave both out",
        )
    changed = train.model_copy(update={"devices": process.devices, "nodes": process.nodes})
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    fields = {*settings.model_fields_set, "train"}
    return Settings.model_construct(_fields_set=fields, **{**values, "train": changed})


def divided_again(train: TrainSettings, before: TrainSettings, given: frozenset[str]) -> TrainSettings:
    """Return `train`, of a run that resumes with another number of processes than `before`, with the samples per step
    that it had: the same samples in the same steps.

    `given`: which of batch_size and accumulate this command line sets. More processes take smaller parts of each
    batch; fewer take it in several forward passes, or in one where it cannot be divided so. Raises UsageError when the
    samples of a step cannot be divided, or change.
    """
    whole, processes = before.whole_batch, train.processes
    steps = before.samples_per_step // whole  # whole batches of an optimiser step
    if given & {"batch_size", "accumulate"}:
        each = train.batch_size
        if whole % (each * processes) or train.samples_per_step != before.samples_per_step:
            raise UsageError(
                f"A run keeps its {before.samples_per_step} samples per step, in batches of {whole}; {processes} "
                f"processes x batch {each} x accumulate {train.accumulate} are {train.samples_per_step}.",
                hint=_divisions(whole, steps, processes),
            )
    else:
        each = min(before.batch_size, whole // processes) or 1
        if whole % (each * processes):
            each = whole // processes if whole % processes == 0 else 0
        if not each:
            raise UsageError(
                f"A batch of {whole} samples cannot be divided among {processes} processes.",
                hint=f"resume with a number of processes that divides {whole}",
            )
    accumulate = steps * whole // (each * processes)
    return train.model_copy(update={"batch_size": each, "accumulate": accumulate, "global_batch": whole})


def _divisions(whole: int, steps: int, processes: int) -> str:
    """Return the largest batch that fits, as settings."""
    if whole % processes:
        return f"resume with a number of processes that divides {whole}"
    return f"--set train.batch_size={whole // processes} --set train.accumulate={steps}"


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name, "")
    if not text and default is not None:
        return default
    if not text.isdecimal():
        raise UsageError(
            f"{name} should be a number, found {text!r}.", hint="start the processes with torchrun or srun"
        )
    return int(text)


def _checked(process: ProcessInfo) -> ProcessInfo:
    if process.devices < 1 or process.world % process.devices:
        raise UsageError(
            f"{process.world} processes on machines of {process.devices}: every machine needs the same number.",
            hint="one process for each GPU, the same number on every machine",
        )
    return process
