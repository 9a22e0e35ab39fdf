"""The processes of a run from the environment of torchrun and SLURM, and a step divided among others on resume."""

from __future__ import annotations

import pytest

from ocrctl.config.settings import Settings, TrainSettings
from ocrctl.errors import UsageError
from ocrctl.training.processes import ProcessInfo, divided_again, find_process, with_processes

TORCHRUN = {"TORCHELASTIC_RUN_ID": "a", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
SBATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_PROCID": "0"}
SRUN = {**SBATCH, "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_ID": "0", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}


def test_one_process_trains_unless_more_are_asked_for() -> None:
    for environ in ({}, {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"}, {"WORLD_SIZE": "8", "RANK": "1"}):
        assert find_process(environ=environ) == ProcessInfo()


@pytest.mark.parametrize(("environ", "launcher"), [(TORCHRUN, "torchrun"), (SRUN, "srun")])
def test_launchers_say_which_process_this_is(environ: dict[str, str], launcher: str) -> None:
    found = find_process(environ=environ)
    assert found == ProcessInfo(5, 8, 1, 4, launcher)  # type: ignore[arg-type]
    assert found.nodes == 2 and not found.first


def test_torchrun_inside_an_allocation_needs_no_srun() -> None:
    assert find_process(environ={**SBATCH, **TORCHRUN}).launcher == "torchrun"


@pytest.mark.parametrize("more", [{}, {"SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_ID": "4294967290"}])
def test_an_allocation_without_srun_is_refused_with_the_command(more: dict[str, str]) -> None:
    """In the batch script, and in the shell of salloc."""
    with pytest.raises(UsageError, match="8 tasks, but srun did not start them") as caught:
        find_process(["train", "crnn", "-o", "runs/a"], {**SBATCH, **more})
    assert caught.value.hint is not None
    command = "srun --kill-on-bad-exit=1 ocrctl train crnn -o runs/a"
    assert caught.value.hint == f"{command} (for one process add --ntasks=1 to srun)"
    with pytest.raises(UsageError) as caught:  # srun's tasks are the number
        find_process(["train", "crnn", "--devices", "2", "--devices=4", "-o", "runs/a"], {**SBATCH, **more})
    assert caught.value.hint is not None and caught.value.hint.startswith(f"{command} (")


def test_machines_with_different_numbers_of_tasks_are_refused() -> None:
    with pytest.raises(UsageError, match="without a number for each machine"):
        find_process(environ={name: text for name, text in SRUN.items() if name != "SLURM_NTASKS_PER_NODE"})
    with pytest.raises(UsageError, match="8 processes on machines of 3"):
        find_process(environ={**TORCHRUN, "LOCAL_WORLD_SIZE": "3"})
    with pytest.raises(UsageError, match="LOCAL_RANK should be a number"):
        find_process(environ={**TORCHRUN, "LOCAL_RANK": "x"})


def test_settings_take_the_processes_of_the_launcher() -> None:
    settings = with_processes(Settings(), find_process(environ=TORCHRUN), requested=False)
    assert (settings.train.devices, settings.train.nodes) == (4, 2)
    assert settings.train.samples_per_step == 64 * 8
    with pytest.raises(UsageError, match="train.devices is 1 and train.nodes 1, but torchrun started 4"):
        with_processes(Settings(), find_process(environ=TORCHRUN), requested=True)
    with pytest.raises(UsageError, match="srun or torchrun must start the processes of several machines"):
        with_processes(Settings(train=TrainSettings(nodes=2)), ProcessInfo(), requested=True)


def resumed(before: TrainSettings, **changed: int) -> tuple[int, int, int]:
    """Return batch size, accumulate and rounds of a run of `before` that resumes with `changed` settings."""
    given = frozenset(changed) & {"batch_size", "accumulate"}
    train = divided_again(before.model_copy(update=changed), before, given)
    assert train.samples_per_step == before.samples_per_step and train.whole_batch == before.whole_batch
    assert train.whole_batch == train.batch_size * train.processes * train.rounds
    return train.batch_size, train.accumulate, train.rounds


def test_a_run_resumes_with_other_processes_and_the_same_samples_per_step() -> None:
    two = TrainSettings(batch_size=8, accumulate=3, devices=2, global_batch=16)
    assert resumed(two, devices=1) == (8, 6, 2)  # the memory of one device does not grow
    assert resumed(two, devices=4) == (4, 3, 1)
    assert resumed(two, devices=1, batch_size=16) == (16, 3, 1)
    assert resumed(two, devices=1, batch_size=4, accumulate=12) == (4, 12, 4)
    three = TrainSettings(batch_size=4, devices=3, global_batch=12)
    assert resumed(three, devices=2) == (6, 1, 1)
    one = divided_again(two.model_copy(update={"devices": 1}), two, frozenset())
    assert resumed(one, devices=2) == (8, 3, 1)


def test_a_step_that_cannot_be_divided_is_refused() -> None:
    two = TrainSettings(batch_size=8, accumulate=3, devices=2, global_batch=16)
    with pytest.raises(UsageError, match="A batch of 16 samples cannot be divided among 3 processes"):
        resumed(two, devices=3)
    with pytest.raises(UsageError, match="keeps its 48 samples per step, in batches of 16; 1 processes") as caught:
        resumed(two, devices=1, batch_size=12, accumulate=4)
    assert caught.value.hint == "--set train.batch_size=16 --set train.accumulate=3"
