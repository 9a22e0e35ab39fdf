"""`data.targets=device` wherever a batch passes: training, resuming, a trial, preflight, quarantine and replay."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ocrctl.core.train.preflight as room
from ocrctl.core.train.run import TrainRequest, TrainResult, load_train_settings, train
from ocrctl.diagnose.replay import replay
from ocrctl.errors import ResumableStop, UsageError
from ocrctl.models.checkpoint import read_checkpoint
from ocrctl.training.module import TrainingModule
from ocrctl.training.objectives import LearnMaps

SETS = ["train.max_steps=4", "train.val_every_steps=4", "train.log_every_steps=2", "train.batch_size=2",
        "data.workers=0", "train.threads=1", "train.schedule=constant", "page.height=96", "page.width=128",
        "page.side=160", "log.previews=0", "data.max_val_samples=1", "data.targets=device"]  # fmt: skip
BAD = 3  # a draw number


def go(out: Path, data: Path, *sets: str, arch: str = "dbnet", resume: bool = False, **how: bool) -> TrainResult:
    tree = {} if resume else {"arch": arch, "data": {"train": [str(data)]}}
    backbone = ["model.backbone=auto" if arch == "craft" else "model.backbone=mobilenetv3"]
    settings = load_train_settings(None, [*([] if resume else SETS + backbone), *sets], tree)
    return train(TrainRequest(settings, out, resume, **how), lambda line: None)


def losses(run: Path) -> list[float]:
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


@pytest.mark.parametrize("arch", ["dbnet", "pan", "craft"])
def test_both_settings_learn_the_same_and_neither_waits(
    arch: str, page_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_host_sync: Any
) -> None:
    step, sent = LearnMaps.__call__, []

    def watched(self: LearnMaps, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        sent.append({"targets", "outlines"} & set(batch))
        with no_host_sync():
            return step(self, model, batch)

    monkeypatch.setattr(LearnMaps, "__call__", watched)
    sets = ["train.max_steps=2", "train.log_every_steps=1"]
    for where in ("worker", "device"):
        go(tmp_path / where, page_folder, *sets, f"data.targets={where}", arch=arch)
    assert sent == [{"targets"}] * 2 + [{"outlines"}] * 2
    assert losses(tmp_path / "device") == pytest.approx(losses(tmp_path / "worker"), rel=1e-3)


def test_two_and_two_steps_equal_four(page_folder: Path, tmp_path: Path) -> None:
    go(tmp_path / "whole", page_folder)
    go(tmp_path / "halves", page_folder, "train.max_steps=2")
    with pytest.raises(UsageError, match="data.targets was 'device' and cannot become 'worker'"):
        go(tmp_path / "halves", page_folder, "data.targets=worker", resume=True)  # maps differ in rounding
    go(tmp_path / "halves", page_folder, "train.max_steps=4", resume=True)
    whole, halves = (read_checkpoint(tmp_path / name / "last.ckpt")["state_dict"] for name in ("whole", "halves"))
    assert all(torch.equal(value, halves[name]) for name, value in whole.items())


def test_loader_processes_preflight_and_a_trial(
    page_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "HMEAN", -1.0)  # what is tested is that it runs
    result = go(tmp_path / "run", page_folder, "data.workers=1", preflight=True, fast_dev_run=True)
    assert result.steps == 3


@pytest.mark.parametrize("arch", ["dbnet", "pan", "craft"])
def test_a_bad_batch_is_kept_as_it_was_sent_and_played_back(
    arch: str, page_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = LearnMaps.__call__

    def planted(self: LearnMaps, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        bad = (batch["ids"] == BAD).any()
        return learn(self, model, batch) * torch.where(bad, torch.nan, 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(LearnMaps, "__call__", planted)
        with pytest.raises(ResumableStop, match="step 2: 1 of its 2 samples alone give it"):
            go(tmp_path / "run", page_folder, arch=arch)
        folder = tmp_path / "run" / "quarantine" / "step-0000002"
        assert json.loads((folder / "step.json").read_text())["samples"] == [BAD]
        assert {row.name for row in replay(folder).failed} >= {"samples", "loss"}
    with np.load(folder / "batch.npz") as kept:
        assert "outlines/unjudged/segments.0" in kept.files and not any("targets" in name for name in kept.files)
    assert not replay(folder).failed


def test_wrong_uses_are_refused(tmp_path: Path, page_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.targets.*'worker' or 'device'"):
        load_train_settings(None, ["data.targets=gpu"], {})
    with pytest.raises(UsageError, match="data.targets: crnn-tiny learns from texts"):
        go(tmp_path / "run", page_folder, "model.backbone=auto", arch="crnn-tiny")
    assert not (tmp_path / "run").exists()


@pytest.mark.gpu
@pytest.mark.parametrize("arch", ["dbnet", "pan", "craft"])
def test_a_step_on_a_gpu_waits_for_nothing(
    arch: str, page_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, seen = TrainingModule.training_step, []

    def watched(self: TrainingModule, batch: Any, batch_idx: int) -> None:
        torch.cuda.set_sync_debug_mode("error" if batch_idx >= 2 else "default")  # the first steps set kernels up
        try:
            step(self, batch, batch_idx)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        seen.append(batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    go(tmp_path / "run", page_folder, "train.device=cuda", "train.max_steps=5", arch=arch)
    assert len(seen) == 5
