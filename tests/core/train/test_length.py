"""The length of a run: what the clock may change, and what a longer one keeps."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest
import torch

import ocrctl.training.callbacks as callbacks
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import UsageError
from ocrctl.models.checkpoint import read_checkpoint

SETS = ["train.max_steps=6", "train.val_every_steps=3", "train.log_every_steps=1", "train.batch_size=2",
        "data.workers=1", "data.max_val_samples=4", "train.threads=1", "log.previews=0"]  # fmt: skip


def curve(run: Path) -> list[tuple[str, ...]]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [(row["step"], row["loss"], row["lr"], row["val_cer"]) for row in csv.DictReader(file)]


def test_two_runs_of_a_profile_with_a_clock_are_equal_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is slowed down: at its sixth step much more of train.max_minutes is gone."""
    settings = load_train_settings(["quickstart"], [*SETS, "train.max_minutes=0.5"], {})
    lines: list[str] = []
    train(TrainRequest(settings, tmp_path / "a"), lines.append)
    assert any("schedule follows the 6 steps" in line for line in lines)
    log = callbacks.RunCallback._log

    def slow(*arguments: object) -> None:
        time.sleep(0.3)
        log(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(callbacks.RunCallback, "_log", slow)
    train(TrainRequest(settings, tmp_path / "b"), lambda line: None)
    assert curve(tmp_path / "a") == curve(tmp_path / "b")
    first, second = (read_checkpoint(tmp_path / name / "last.ckpt")["state_dict"] for name in ("a", "b"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_run_that_the_clock_ends_says_that_it_is_not_reproducible(
    word_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    tree = {"arch": "crnn-tiny", "data": {"train": [str(word_folder)], "charset": "ascii94"}}
    sets = [item for item in SETS if "max_steps" not in item]
    settings = load_train_settings(None, [*sets, "train.max_minutes=0.005"], tree)
    train(TrainRequest(settings, tmp_path / "clock"), lines.append)
    assert any("this run is not reproducible" in line for line in lines)
    lines.clear()
    settings = load_train_settings(None, [*sets, "train.max_minutes=0.005", "train.max_steps=9000"], tree)
    result = train(TrainRequest(settings, tmp_path / "both"), lines.append)
    assert result.steps < 9000
    assert any(f"{9000 - result.steps} steps before the schedule's end" in line for line in lines)


def test_a_longer_run_keeps_its_warm_up(word_folder: Path, tmp_path: Path) -> None:
    run, lines = tmp_path / "run", []
    tree = {"arch": "crnn-tiny", "data": {"train": [str(word_folder)], "charset": "ascii94"}}
    train(TrainRequest(load_train_settings(None, [*SETS, "train.warmup=0.34"], tree), run), lambda line: None)
    longer = load_train_settings(None, ["train.max_steps=30"], {}, use_variables=False)
    sooner = load_train_settings(None, ["train.max_steps=8"], {}, use_variables=False)
    train(TrainRequest(sooner, run, resume=True), lines.append)
    assert any("the schedule ends at step 8 instead of step 6; the warm-up keeps its 2 steps" in s for s in lines)
    rates = {row[0]: float(row[2]) for row in curve(run) if row[2]}
    assert rates["7"] < 1e-3 and rates["8"] < rates["7"]
    train(TrainRequest(longer, run, resume=True), lambda line: None)
    rates = {row[0]: float(row[2]) for row in curve(run) if row[2]}
    assert rates["9"] > rates["10"] > 8e-4  # not in a warm-up of a third of 30 steps


def test_resume_of_a_run_that_is_not_there_needs_data(
    word_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OCRCTL_DATA", raising=False)
    settings = load_train_settings(None, SETS, {"arch": "crnn-tiny"})
    for out in (tmp_path / "typo", tmp_path):  # no folder, and a folder without a run
        with pytest.raises(UsageError, match="contains no run") as caught:
            train(TrainRequest(settings, out, resume=True), lambda line: None)
        assert "-d SPEC" in str(caught.value.hint)
    assert not (tmp_path / "typo").exists()
    monkeypatch.setenv("OCRCTL_DATA", str(word_folder))
    named = load_train_settings(None, [*SETS, "data.charset=ascii94"], {"arch": "crnn-tiny"})
    assert train(TrainRequest(named, tmp_path / "run", resume=True), lambda line: None).steps == 6


def test_mkldnn_is_off_inside_the_run_only(word_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen, lines = torch.backends.mkldnn.enabled, [], []
    log = callbacks.RunCallback._log

    def watch(*arguments: object) -> None:
        seen.append(torch.backends.mkldnn.enabled)
        log(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(callbacks.RunCallback, "_log", watch)
    tree = {"arch": "crnn-tiny", "data": {"train": [str(word_folder)], "charset": "ascii94"}}
    settings = load_train_settings(None, [*SETS, "train.mkldnn=false", "train.max_steps=1"], tree)
    train(TrainRequest(settings, tmp_path / "run"), lines.append)
    assert seen == [False] and torch.backends.mkldnn.enabled == before
    assert "mkldnn: off (train.mkldnn)" in lines
