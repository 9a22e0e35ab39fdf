"""`python kill_train.py WORDS FOLDER KILLS SEED`: kill a training with SIGKILL at random moments and go on after each.

A run of 24 steps is started in a process forked from this one, which has imported everything, and killed at a moment
drawn from the time that a whole run takes, the making of the run folder and the start of the loader included: each odd
time alone, each even time with its loader. After each kill the run folder must be whole; the same command then goes on.
A run that reaches its end must equal the one that was left alone, and another run folder takes the kills that are left.
A kill loses at most the steps since the last validation, which writes a checkpoint, and the rows so far are those of
the run that was left alone.
Prints one JSON object: `kills`, `runs`, `seconds`, `before_checkpoint` (kills before the first checkpoint), `lost` (the
most steps that a kill lost).
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import lightning.pytorch  # noqa: F401  # here once, not in every child
import torch

import ocrctl.core.train.fit
import ocrctl.training.runner  # noqa: F401
from ocrctl.config.load import settings_from_tree
from ocrctl.config.profiles import load_profile
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.models.checkpoint import read_checkpoint
from ocrctl.training.metrics_rows import read_rows

VALIDATED = 3  # steps between validations, and so between checkpoints
SETS = ["train.max_steps=24", f"train.val_every_steps={VALIDATED}", "train.log_every_steps=1", "train.batch_size=4",
        "data.workers=1", "data.max_val_samples=4", "train.threads=1", "log.previews=2"]  # fmt: skip
TIMED = {"seconds", "images_per_second"}


def start(words: str, run: Path) -> int:
    """Begin the run, or go on with it, in a process of its own; its id."""
    child = os.fork()
    if child:
        return child
    os.setpgid(0, 0)
    code = 1
    try:
        settings = load_train_settings(None, SETS, {"arch": "crnn-tiny", "data": {"train": [words]}})
        train(TrainRequest(settings, run, resume=True), lambda line: None)
        code = 0
    finally:
        os._exit(code)


def ended(child: int, seconds: float) -> int | None:
    """Exit code of `child` once it has ended by itself, None when it is still there after `seconds`."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def check_whole(run: Path, whole: Path) -> int | None:
    """Check that every file has its old content or its new one, and that the curve so far is that of the run that was
    left alone; returns the steps that the kill lost, None before the first checkpoint."""
    if not (run / "config.toml").exists():
        assert not list(run.glob("*.ckpt")) and not (run / "metrics.csv").exists()
        return None
    settings_from_tree(load_profile(str(run / "config.toml")), str(run / "config.toml"))
    assert all(isinstance(value, str) for value in json.loads((run / "data.json").read_text()).values())
    rows = read_rows(run / "metrics.csv")
    assert not rows.damage, rows.damage
    steps = [int(row["step"]) for row in rows.rows]
    assert steps == sorted(steps)
    saved = [
        int(read_checkpoint(path)["global_step"]) for path in (run / "last.ckpt", run / "best.ckpt") if path.exists()
    ]
    assert max(saved, default=0) <= max(steps, default=0), "a checkpoint is ahead of metrics.csv"
    curve, expected = untimed(rows.rows), untimed(read_rows(whole / "metrics.csv").rows)
    assert curve == expected[: len(curve)], "the curve is not that of the run that was left alone"
    lost = max(steps, default=0) - max(saved, default=0)
    assert lost <= VALIDATED, f"{lost} steps are lost, {VALIDATED} lie between two checkpoints"
    return lost if (run / "last.ckpt").exists() else None


def untimed(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows without what depends on the clock."""
    return [{name: text for name, text in row.items() if name not in TIMED} for row in rows]


def check_equal(run: Path, whole: Path) -> None:
    """Weights, counters and rows of the log are those of the run that was left alone."""
    for name in ("last.ckpt", "best.ckpt"):
        first, second = read_checkpoint(whole / name), read_checkpoint(run / name)
        assert first["global_step"] == second["global_step"] and first["callbacks"] == second["callbacks"], name
        assert all(torch.equal(value, second["state_dict"][key]) for key, value in first["state_dict"].items()), name
    first_curve, second_curve = (untimed(read_rows(path / "metrics.csv").rows) for path in (whole, run))
    assert first_curve == second_curve
    hidden = [path.name for path in run.rglob(".*") if "lock" not in path.name]
    assert not hidden, hidden
    assert {path.name for path in run.rglob("*.png")} == {path.name for path in whole.rglob("*.png")}


def main(words: str, folder: Path, kills: int, seed: int) -> None:
    begun = time.monotonic()
    assert ended(start(words, folder / "whole"), 120) == 0
    length = time.monotonic() - begun
    rng, number, done, early, most = random.Random(seed), 1, 0, 0, 0
    while True:
        run = folder / f"run{number}"
        child = start(words, run)
        code = ended(child, rng.uniform(0, length) if done < kills else 120)
        if code is None:
            assert done < kills, "a run that nobody kills did not end"
            done += 1
            (os.kill if done % 2 else os.killpg)(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lost = check_whole(run, folder / "whole")
            early += lost is None
            most = max(most, lost or 0)
            continue
        assert code == 0, f"run {number} ended with {code} after {done} kills (seed {seed})"
        check_equal(run, folder / "whole")
        if done == kills:
            break
        number += 1
    seconds = round(time.monotonic() - begun, 1)
    print(json.dumps({"kills": done, "runs": number, "before_checkpoint": early, "lost": most, "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
