"""A run that was cut in two is the run that was not: bit for bit on a CPU."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import ocrctl.training.device as device
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.core.train.task import TrainResult
from ocrctl.models.checkpoint import read_checkpoint
from ocrctl.training.module import TrainingModule
from ocrctl.training.validation import WordValidation

WORDS = ["cat", "dog", "sun", "hat", "pen", "cup", "map", "fox", "owl", "bee"]
SETS = ["train.val_every_steps=3", "train.log_every_steps=2", "train.batch_size=4", "data.workers=2",
        "data.max_val_samples=4", "train.threads=1", "train.schedule=constant", "log.previews=0", "train.ema=0.9",
        "train.precision=bf16-mixed"]  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten drawn words: a pass through them is two and a half batches."""
    folder = tmp_path_factory.mktemp("words")
    for number, word in enumerate(WORDS):
        image = np.full((32, 90, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    labels = "".join(f"{number}.png\t{word}\n" for number, word in enumerate(WORDS))
    (folder / "rec_gt.txt").write_text(labels, encoding="utf-8")
    return folder


def go(out: Path, words: Path, steps: int, *sets: str, arch: str = "crnn-tiny") -> TrainResult:
    resume = (out / "config.toml").exists()
    tree = {} if resume else {"arch": arch, "data": {"train": [str(words)]}}
    settings = load_train_settings(None, [f"train.max_steps={steps}", *([] if resume else [*SETS, *sets])], tree)
    return train(TrainRequest(settings, out, resume), lambda line: None)


def curve(out: Path) -> list[list[str]]:
    with (out / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [[row["step"], row["loss"], row["val_exact"], row["val_cer"]] for row in rows]


@pytest.mark.parametrize(
    ("arch", "sets"),
    [
        ("crnn-tiny", ["train.accumulate=2", "train.optimizer=muon"]),
        pytest.param(
            "parseq-tiny", ["train.optimizer=muon", "train.batch_size=2", "model.width=48"], marks=pytest.mark.slow
        ),  # test_autoregressive.py takes one and one step
    ],
)
def test_five_and_five_steps_equal_ten(
    arch: str, sets: list[str], words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bf16, two workers, stopped in the middle of a pass and between two validations."""
    monkeypatch.setattr(device, "computes_bf16", lambda _: True)
    go(tmp_path / "whole", words, 10, *sets, arch=arch)
    go(tmp_path / "halves", words, 5, *sets, arch=arch)
    go(tmp_path / "halves", words, 10)
    whole, halves = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "halves"))
    assert whole["global_step"] == halves["global_step"] == 10 and whole["next_draw"] == halves["next_draw"]
    for part in ("state_dict", "ema"):
        assert all(torch.equal(value, halves[part][name]) for name, value in whole[part].items()), part
    for place, state in whole["optimizer_states"][0]["state"].items():
        assert all(torch.equal(v, halves["optimizer_states"][0]["state"][place][n]) for n, v in state.items()), place
    rows = {row[0]: row for row in curve(tmp_path / "halves") if row[2]}
    for row in curve(tmp_path / "whole"):
        if row[2]:
            assert rows[row[0]] == row


@pytest.mark.parametrize(
    ("step", "part", "accumulate"),
    [(4, 0, 1), (5, 0, 1), (5, 1, 2), (9, 0, 1), (6, "validation", 1)],
    ids=["between", "at a validation", "within a step", "at the end", "within a validation"],
)
def test_a_signal_moves_no_validation_and_no_row_of_the_log(
    step: int, part: int | str, accumulate: int, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in step `step` + 1: the rows, and the best checkpoint, are those of a run that was left alone."""
    sets = ["train.val_every_steps=2", "train.log_every_steps=4", f"train.accumulate={accumulate}"]
    go(tmp_path / "whole", words, 10, *sets)
    train_on, validate, sent = TrainingModule.training_step, WordValidation.step, []

    def send(module: TrainingModule, wanted: int | str) -> None:
        if (module.global_step, wanted) == (step, part) and not sent:
            sent.append(step)
            os.kill(os.getpid(), signal.SIGTERM)

    def watched(self: TrainingModule, batch: Any, batch_idx: int) -> None:
        current.append(self)
        send(self, self._micro)
        train_on(self, batch, batch_idx)

    def watched_validation(self: WordValidation, model: Any, batch: Any) -> None:
        send(current[-1], "validation")
        validate(self, model, batch)

    current: list[TrainingModule] = []
    monkeypatch.setattr(TrainingModule, "training_step", watched)
    monkeypatch.setattr(WordValidation, "step", watched_validation)
    assert go(tmp_path / "cut", words, 10, *sets).stopped_by_signal == signal.SIGTERM
    assert read_checkpoint(tmp_path / "cut" / "last.ckpt")["global_step"] == (
        step if part == "validation" else step + 1
    )
    assert go(tmp_path / "cut", words, 10).steps == 10
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    for name in ("best.ckpt", "last.ckpt"):
        whole, cut = (read_checkpoint(tmp_path / run / name) for run in ("whole", "cut"))
        assert whole["global_step"] == cut["global_step"]
        assert all(torch.equal(value, cut["ema"][key]) for key, value in whole["ema"].items()), name
        assert whole["callbacks"] == cut["callbacks"]
