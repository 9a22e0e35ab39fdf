"""`--devices N`: when processes are started, and what their ends mean."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import tomli_w

from ocrctl.cli.app import run
from ocrctl.config.settings import Settings, TrainSettings
from ocrctl.core.runs.folder import resume_settings
from ocrctl.core.train.launch import _exit_code, processes_to_start
from ocrctl.core.train.run import TrainRequest, train
from ocrctl.errors import ResumableStop, UsageError
from ocrctl.training.processes import ALONE, ProcessInfo

TWO = TrainSettings(batch_size=8, devices=2, global_batch=16, device="cpu")


def saved(folder: Path, settings: TrainSettings) -> Path:
    (folder / "config.toml").write_text(tomli_w.dumps(Settings(arch="crnn-tiny", train=settings).tree()))
    return folder / "config.toml"


def test_processes_are_started_when_asked_for_and_only_once(tmp_path: Path) -> None:
    assert processes_to_start(Settings(), ALONE, None) == 0
    assert processes_to_start(Settings(train=TWO), ALONE, None) == 2
    assert processes_to_start(Settings(train=TWO), ProcessInfo(0, 2, 0, 2, "torchrun"), None) == 0


def test_a_run_of_two_processes_resumes_with_two(tmp_path: Path) -> None:
    config = saved(tmp_path, TWO)
    assert processes_to_start(Settings(), ALONE, config) == 2
    assert processes_to_start(Settings(train=TrainSettings(devices=1)), ALONE, config) == 0


def test_a_run_resumes_with_another_number_of_processes(tmp_path: Path) -> None:
    saved(tmp_path, TWO)
    lines: list[str] = []
    found = resume_settings(tmp_path, Settings(train=TrainSettings(devices=1)), lines.append).train
    assert (found.batch_size, found.accumulate, found.global_batch) == (8, 2, 16)
    assert lines == ["resume: train.accumulate = 2 (was 1)", "resume: train.devices = 1 (was 2)"]
    again = resume_settings(saved(tmp_path, found).parent, Settings(train=TrainSettings(devices=2)), lines.append).train
    assert (again.batch_size, again.accumulate, again.global_batch) == (8, 1, 16)


def test_a_step_may_be_divided_differently_but_not_changed_on_resume(tmp_path: Path) -> None:
    saved(tmp_path, TWO)
    half = Settings(train=TrainSettings(batch_size=4, accumulate=2))
    assert resume_settings(tmp_path, half, lambda line: None).train.rounds == 2
    with pytest.raises(UsageError, match="train.batch_size was 8 and cannot become 4"):
        resume_settings(tmp_path, Settings(train=TrainSettings(batch_size=4)), lambda line: None)


def failure(code: int, when: int) -> SimpleNamespace:
    return SimpleNamespace(exitcode=code, timestamp=when, pid=40 + when)


def test_the_exit_code_is_that_of_the_process_that_failed_first() -> None:
    assert _exit_code({0: failure(5, 2), 1: failure(3, 1)}, 2, None) == 3
    with pytest.raises(
        ResumableStop, match=r"Process 1 of 2 \(pid 42\) was killed by SIGKILL; out of memory"
    ) as caught:
        _exit_code({0: failure(5, 1), 1: failure(-9, 2)}, 2, Path("runs/a"))
    assert caught.value.hint == "ocrctl train --resume -o runs/a"


def test_slurm_without_srun_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    assert run(["train", "crnn-tiny", "-o", str(tmp_path / "run")]) == 2
    assert f"hint: srun --kill-on-bad-exit=1 ocrctl train crnn-tiny -o {tmp_path}/run" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_several_processes_are_not_started_from_python(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train.devices is 2, but this process trains alone"):
        train(TrainRequest(Settings(arch="crnn-tiny", train=TWO), tmp_path / "run"), lambda line: None)
