"""What the machine lacks is said before the data is read, or ends the run with exit 5 and the setting to change."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

import ocrctl.core.train.fit as train_run
from ocrctl import runtime
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.data.datasets.recognition import TrainingWords
from ocrctl.errors import MissingRequirement, ResumableStop, UsageError

SETS = ["train.max_steps=2", "train.val_every_steps=2", "train.log_every_steps=1", "train.batch_size=2",
        "data.max_val_samples=4", "train.threads=1", "log.previews=0"]  # fmt: skip


def go(out: Path, *sets: str, data: Path | None = None) -> list[str]:
    lines: list[str] = []
    tree = {"arch": "crnn-tiny", "data": {"train": [str(data)] if data else None, "charset": "ascii94"}}
    train(TrainRequest(load_train_settings(None, [*SETS, *sets], tree), out), lines.append)
    return lines


@pytest.mark.parametrize("during", ["imports", "wait"])
@pytest.mark.posix
def test_a_worker_killed_before_the_first_step(during: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(self: TrainingWords, numbers: object) -> None:
        while not (tmp_path / "run" / "config.toml").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

    def imports() -> None:
        limit = time.monotonic() + 30
        while time.monotonic() < limit:  # PyTorch's handler of SIGCHLD raises here
            time.sleep(0.01)

    monkeypatch.setattr(TrainingWords, "__getitems__", killed)
    if during == "imports":
        monkeypatch.setattr(train_run, "import_lightning", imports)
    with pytest.raises(ResumableStop, match="A loader process died: DataLoader worker") as caught:
        go(tmp_path / "run", "data.workers=1", "data.start_method=fork")
    assert caught.value.hint == f"go on with: ocrctl train --resume -o {tmp_path / 'run'} --set data.workers=0"


@pytest.mark.parametrize("step", ["build_model", "run_header"])
def test_no_memory_on_a_cpu(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(train_run, step, full)
    with pytest.raises(ResumableStop, match="Out of memory at batch 2: .*can't allocate memory") as caught:
        go(tmp_path / "run", "data.workers=0")
    assert "--set train.batch_size=1 --set train.accumulate=2" in str(caught.value.hint)


def test_a_bug_stays_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(train_run, "build_model", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        go(tmp_path / "run", "data.workers=0")


def test_device_and_logger_are_checked_before_the_data_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data here cannot be read: an error about it would say that it was."""
    (tmp_path / "rec_gt.txt").write_text("missing.png\tword\n", encoding="utf-8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingRequirement, match="train.device is cuda"):
        go(tmp_path / "run", "train.device=cuda", data=tmp_path)
    with pytest.raises(UsageError, match="train.devices is 2"):
        go(tmp_path / "run", "train.devices=2", data=tmp_path)
    monkeypatch.setattr("ocrctl.training.loggers.find_spec", lambda name: None)
    with pytest.raises(MissingRequirement, match="log.logger is wandb"):
        go(tmp_path / "run", "log.logger=wandb", data=tmp_path)
    with pytest.raises(UsageError, match="train.freeze_norm"):
        go(tmp_path / "run", "train.freeze_norm=true", data=tmp_path)


def test_no_more_workers_than_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "affinity_cores", lambda: 1)
    monkeypatch.setattr(runtime, "cgroup_cores", lambda: None)
    seen = []
    started = train_run.training_loader
    monkeypatch.setattr(
        train_run, "training_loader", lambda *a, **k: seen.append(k["workers"]) or started(*a, **{**k, "workers": 0})
    )
    lines = go(tmp_path / "run", "data.workers=16", "train.max_steps=1")
    assert seen == [1] and any(line.startswith("workers: 1 of data.workers=16") for line in lines)
