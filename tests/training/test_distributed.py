"""Two gloo processes train what one process trains, also when one of them is killed and the run resumes."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.models.checkpoint import read_checkpoint

STEPS, CHECKPOINT, KILLED = 8, 3, 5
SETS = [f"train.max_steps={STEPS}", f"train.val_every_steps={CHECKPOINT}", "train.log_every_steps=1",
        "train.device=cpu", "train.precision=32-true", "train.threads=1", "data.workers=0", "data.max_val_samples=6",
        "log.previews=2",
        "model.dropout=0", "train.accumulate=2", "train.lr=1e-4"]  # fmt: skip


def start(out: Path, *options: str, sets: list[str] = SETS) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "ocrctl", "train", *options, "-o", str(out)]
    words += [word for one in sets for word in ("--set", one)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(words, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert out.count("steps:") == 1  # the first process alone reports
    return err


def rows(out: Path) -> list[dict[str, str]]:
    if not (out / "metrics.csv").exists():
        return []
    with (out / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def children(agent: int) -> dict[int, int]:
    """Return the processes of a run by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            environ = (entry / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if parent == str(agent):
            found.update({int(one[5:]): int(entry.name) for one in environ if one.startswith(b"RANK=")})
    return found


def trained(name: str, value: torch.Tensor) -> torch.Tensor:
    """Leave out the key biases of attention: a softmax does not depend on them, so that their gradients are rounding,
    which AdamW turns into steps of its learning rate."""
    if not name.endswith(("qkv.bias", "in_proj_bias")):
        return value
    query, _, own = value.chunk(3)
    return torch.cat([query, own])


def assert_equal(one: Path, two: Path) -> None:
    left, right = (read_checkpoint(out / "last.ckpt") for out in (one, two))
    assert left["global_step"] == right["global_step"] == STEPS and left["next_draw"] == right["next_draw"]
    for name, value in left["state_dict"].items():
        pair = trained(name, right["state_dict"][name]), trained(name, value)
        torch.testing.assert_close(*pair, rtol=0, atol=1e-6, msg=name)
    best: list[Any] = [read_checkpoint(out / "best.ckpt")["callbacks"] for out in (one, two)]
    assert best[0] == best[1]
    for a, b in zip(rows(one), rows(two), strict=True):
        assert [a[name] for name in ("step", "samples", "val_exact", "val_empty")] == [
            b[name] for name in ("step", "samples", "val_exact", "val_empty")
        ]
        if a["loss"]:
            assert abs(float(a["loss"]) - float(b["loss"])) < 1e-4


@pytest.mark.posix
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")
def test_two_processes_equal_one_although_one_of_them_is_killed(tmp_path: Path) -> None:
    """An autoregressive model: its loss divides by the characters of the batch, its orders depend on the longest."""
    run = start(tmp_path / "two", "parseq-tiny", "--devices", "2", sets=[*SETS, "train.batch_size=2"])
    while len(rows(tmp_path / "two")) < KILLED:
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.05)
    both = children(run.pid)
    os.kill(both[1], signal.SIGKILL)
    killed = time.monotonic()
    _, errors = run.communicate(timeout=120)
    assert time.monotonic() - killed < 30 and run.returncode == 5
    assert f"error: Process 1 of 2 (pid {both[1]}) was killed by SIGKILL" in errors
    assert f"hint: ocrctl train --resume -o {tmp_path}/two" in errors
    assert not any(Path(f"/proc/{pid}").exists() for pid in both.values())

    header = finish(start(tmp_path / "two", "--resume", sets=[]))
    assert "processes: 2" in header and "resumed from step 3" in header
    settings = load_train_settings(None, [*SETS, "train.batch_size=4"], {"arch": "parseq-tiny"})
    train(TrainRequest(settings, tmp_path / "one"), lambda line: None)
    assert_equal(tmp_path / "one", tmp_path / "two")


FAULTS = """
import sys
import numpy as np
import torch
from ocrctl.cli.app import run
from ocrctl.data.datasets.recognition import TrainingWords
from ocrctl.errors import InputError
from ocrctl.training import objectives

fault, out, *words = sys.argv[1:]
plain, read = objectives.ctc_objective, TrainingWords.sample

def nan_for_14(model, batch):
    loss = plain(model, batch)
    return loss * float("nan") if 14 in batch["ids"].tolist() else loss

def refuse_22(self, n):
    if n == 22:
        raise InputError("word 22: cannot be decoded.")
    return read(self, n)

if fault == "nan":
    objectives.ctc_objective = nan_for_14
else:
    TrainingWords.sample = refuse_22
sys.exit(run(["train", "crnn-tiny", "-o", out, *words]))
"""


@pytest.mark.posix
@pytest.mark.parametrize(
    ("fault", "code", "step"), [("nan", 5, 3), pytest.param("unreadable", 3, 4, marks=pytest.mark.slow)]
)
def test_what_fails_in_one_process_ends_both_at_the_same_step(fault: str, code: int, step: int, tmp_path: Path) -> None:
    """Samples 14 and 22 belong to process 1; process 0 reports, writes, and keeps the batch of both."""
    (tmp_path / "faults.py").write_text(FAULTS)
    out = tmp_path / "run"
    sets = [*SETS, "train.batch_size=2", "train.accumulate=1", "train.log_every_steps=2", "train.val_every_steps=100"]
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words += [str(tmp_path / "faults.py"), fault, str(out), *(word for one in sets for word in ("--set", one))]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=600)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, done.stderr
    assert re.search(rf"exitcode *: {code}\b", done.stderr)  # torchrun's own report
    last = read_checkpoint(out / "last.ckpt")
    assert (last["global_step"], last["next_draw"]) == (step, 4 * step)
    if fault == "nan":
        assert "not finite at step 4" in errors[0] and "1 of its 4 samples alone give it" in errors[0]
        with np.load(out / "quarantine" / "step-0000004" / "batch.npz") as batch:
            assert batch["ids.0"].tolist() == [12, 13, 14, 15]
    else:
        assert errors == ["error: word 22: cannot be decoded."]


@pytest.mark.posix
@pytest.mark.slow
def test_two_processes_train_a_detector_as_one_does_but_for_rounding(tmp_path: Path) -> None:
    """In float64: in float32 rounding decides which side of a ReLU6 a value is on, and which losses are the hardest."""
    program = str(Path(__file__).parents[2] / "benchmarks" / "in_float64.py")
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    common = ["train.device=cpu", "train.precision=32-true", "train.threads=1", "data.workers=0", "log.previews=0",
              "data.max_val_samples=2", "page.height=64", "page.width=64", "page.side=64", "train.lr=1e-4"]  # fmt: skip

    base = load_train_settings(None, [*common, "train.max_steps=1", "train.batch_size=2"], {"arch": "dbnet"})
    train(TrainRequest(base, tmp_path / "base"), lambda line: None)
    first = tmp_path / "base" / "last.ckpt"

    def run(name: str, *start: str, sets: list[str]) -> Path:
        # --from freezes the statistics of normalisation, which are of each process otherwise.
        words = [*start, "train", "dbnet", "-o", str(tmp_path / name), "--from", str(first), "--general", "none"]
        words += [word for one in (*common, *sets) for word in ("--set", one)]
        done = subprocess.run([sys.executable, *words], env=environ, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        return tmp_path / name / "last.ckpt"

    one = run("one", program, sets=["train.max_steps=4", "train.batch_size=2"])
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", program)
    two = run("two", *torchrun, sets=["train.max_steps=4", "train.batch_size=1"])
    before, left, right = (read_checkpoint(path)["state_dict"] for path in (first, one, two))
    trained = [name for name, value in left.items() if value.dtype == torch.float64]
    assert max(float((left[name] - before[name]).abs().max()) for name in trained) > 1e-5
    for name in trained:
        torch.testing.assert_close(right[name], left[name], rtol=0, atol=1e-12, msg=name)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize(
    ("arch", "sets"),
    [("crnn-tiny", ["train.freeze_norm=true"]), ("crnn-tiny", ["train.sync_batchnorm=true"]), ("parseq-tiny", [])],
)
def test_two_cards_train_what_one_trains(
    arch: str, sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NCCL; statistics of batches are those of all cards with SyncBatchNorm."""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # convolutions would use it, with an algorithm by the batch
    on_cards = [*SETS, "train.device=cuda", *sets]
    finish(start(tmp_path / "two", arch, "--devices", "2", sets=[*on_cards, "train.batch_size=2"]))
    alone = [one for one in on_cards if "sync_batchnorm" not in one]
    finish(start(tmp_path / "one", arch, sets=[*alone, "train.batch_size=4"]))
    one, two = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("one", "two"))
    assert one["global_step"] == two["global_step"] == STEPS and one["next_draw"] == two["next_draw"]
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(
            trained(name, two["state_dict"][name]), trained(name, value), rtol=0, atol=1e-4, msg=name
        )
