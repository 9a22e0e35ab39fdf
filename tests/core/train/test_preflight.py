"""`train --preflight`: what would keep a model from learning is found before the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import ocrctl.core.train.preflight as checks
from ocrctl.core.runs.folder import lock_run, unlock
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import CheckFailed, UsageError
from ocrctl.models.crnn.model import BiLSTMDecoder

SETS = ["train.max_steps=2", "train.batch_size=4", "data.workers=0", "data.max_val_samples=4", "train.threads=1",
        "log.previews=0", "synth.max_length=5", "train.lr=4e-3", "synth.strength=0.2"]  # fmt: skip


def go(out: Path, arch: str = "crnn-tiny", preflight: bool = True) -> list[str]:
    lines: list[str] = []
    settings = load_train_settings(None, SETS, {"arch": arch})
    train(TrainRequest(settings, out, preflight=preflight), lines.append)
    return lines


def test_a_sound_model_passes_and_the_run_is_the_same(tmp_path: Path) -> None:
    from ocrctl.models.checkpoint import read_checkpoint

    lines = [line for line in go(tmp_path / "with") if line.startswith("preflight")]
    assert lines[0].startswith("preflight: 25 output steps; the longest of 500 labels needs")
    assert lines[1] == "preflight: gradient reaches 28 of 28 parameters"
    assert "one batch overfitted in" in lines[2] and "8 of 8 words" in lines[2]
    go(tmp_path / "without", preflight=False)
    first, second = (read_checkpoint(tmp_path / n / "last.ckpt")["state_dict"] for n in ("with", "without"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_model_that_cannot_learn_is_refused_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that does not see the image: no gradient reaches the encoder, and no batch is overfitted."""
    forward = BiLSTMDecoder.forward
    monkeypatch.setattr(BiLSTMDecoder, "forward", lambda self, f, targets=None: forward(self, f.detach() * 0, targets))
    monkeypatch.setattr(checks, "MAX_STEPS", 20)
    with pytest.raises(CheckFailed, match="no gradient reaches encoder.* not overfitted in 20 steps") as caught:
        go(tmp_path / "run")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "run").exists()


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    held = lock_run(tmp_path / "run")
    with pytest.raises(UsageError, match=f"process {os.getpid()} is training there"):
        go(tmp_path / "run", preflight=False)
    unlock(held)


def test_a_refused_resume_changes_nothing(tmp_path: Path) -> None:
    go(tmp_path / "run", preflight=False)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    held = lock_run(tmp_path / "run")
    settings = load_train_settings(None, ["train.max_steps=9"], {}, use_variables=False)
    with pytest.raises(UsageError, match=f"process {os.getpid()} is training there"):
        train(TrainRequest(settings, tmp_path / "run", resume=True), lambda line: None)
    unlock(held)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}


def test_of_two_fresh_runs_in_one_folder_the_second_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    held = lock_run(tmp_path / "run")  # another process, before it has written anything
    with pytest.raises(UsageError, match=f"process {os.getpid()} is training there"):
        go(tmp_path / "run", preflight=False)
    unlock(held)
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.slow
def test_a_detector_learns_two_pages_by_heart(tmp_path: Path) -> None:
    lines: list[str] = []
    sets = ["train.max_steps=1", "train.batch_size=1", "data.workers=0", "data.max_val_samples=1", "log.previews=0",
            "train.threads=1", "page.height=160", "page.width=160", "page.side=160", "model.backbone=mobilenetv3",
            "page.augment=0", "train.lr=5e-3", "train.warmup=0"]  # fmt: skip
    pages = tmp_path / "pages"
    pages.mkdir()
    for number in range(3):
        image = np.full((160, 160, 3), 220, np.uint8)
        cv2.putText(image, "WORD", (20, 60 + 20 * number), cv2.FONT_HERSHEY_SIMPLEX, 1.4, (0, 0, 0), 3)
        cv2.imwrite(str(pages / f"img_{number}.png"), image)
        top = 28 + 20 * number
        line = f"16,{top},136,{top},136,{top + 36},16,{top + 36},WORD\n"
        (pages / f"gt_img_{number}.txt").write_text(line, encoding="utf-8")
    settings = load_train_settings(None, sets, {"arch": "dbnet", "data": {"train": [str(pages)]}})
    train(TrainRequest(settings, tmp_path / "run", preflight=True), lines.append)
    told = [line for line in lines if line.startswith("preflight")]
    assert "gradient reaches" in told[0] and told[1].startswith("preflight: one batch overfitted in")


ORPHAN = """
import os, sys, time
from pathlib import Path
from ocrctl.core.runs.folder import lock_run
lock_run(Path(sys.argv[1]))
ready, started = os.pipe()
if os.fork() == 0:
    os.write(started, b"x")
    os.close(1)
    time.sleep(20)
    os._exit(0)
os.read(ready, 1)  # else this process may end before the other has closed what it inherited
os._exit(0)
"""


@pytest.mark.posix
def test_a_process_left_behind_by_a_killed_run_does_not_keep_its_lock(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", ORPHAN, str(tmp_path)], check=True, timeout=15)
    unlock(lock_run(tmp_path))
