"""A training step waits for nothing: no value of a tensor is read between logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.training.module import TrainingModule

READS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal")  # what must wait for a device's values


class Watch(TorchDispatchMode):
    """Counts the reads of values."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        if name in READS:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("arch", "sets"),
    [
        ("parseq-tiny", []),
        ("parseq-tiny", ["train.optimizer=muon", "train.ema=0.9", "train.label_smoothing=0.1"]),
        ("crnn-tiny", ["train.on_nonfinite=skip"]),
        ("crnn-tiny", ["model.resize=keep"]),
        ("ppocr-rec-tiny", []),
        ("satrn-tiny", []),
        ("satrn-tiny", ["model.resize=keep"]),
        ("true2d-tiny", ["train.log_every_steps=1"]),
    ],
)
def test_a_step_reads_no_value(arch: str, sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[list[str]] = []
    step, start = TrainingModule.training_step, TrainingModule.on_train_batch_start

    def watched_step(self: TrainingModule, batch: Any, batch_idx: int) -> None:
        with Watch() as watch:
            step(self, batch, batch_idx)
        counts.append(watch.seen)

    def watched_start(self: TrainingModule, batch: Any, batch_idx: int) -> None:
        with Watch() as watch:
            start(self, batch, batch_idx)
        counts.append(watch.seen)

    monkeypatch.setattr(TrainingModule, "training_step", watched_step)
    monkeypatch.setattr(TrainingModule, "on_train_batch_start", watched_start)
    base = ["train.max_steps=3", "train.batch_size=2", "data.workers=0", "data.max_val_samples=2", "log.previews=0",
            "train.threads=1", "train.accumulate=2"]  # fmt: skip
    train(TrainRequest(load_train_settings(None, [*base, *sets], {"arch": arch}), tmp_path / "run"), lambda line: None)
    assert len(counts) == 12 and counts == [[]] * 12


@pytest.mark.gpu
@pytest.mark.parametrize("arch", ["parseq-tiny", "crnn-tiny"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_step_on_a_gpu_waits_for_nothing(
    arch: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch itself raises on a synchronisation inside the step; CTC copies the lengths of its labels to the CPU."""
    step = TrainingModule.training_step
    seen = []

    def watched(self: TrainingModule, batch: Any, batch_idx: int) -> None:
        strict = arch != "crnn-tiny" and batch_idx >= 2  # the first steps set kernels and moments up
        torch.cuda.set_sync_debug_mode("error" if strict else "default")
        try:
            step(self, batch, batch_idx)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        seen.append(strict)

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    base = ["train.max_steps=5", "train.batch_size=4", "data.workers=0", "data.max_val_samples=2", "log.previews=0",
            "train.device=cuda", f"train.precision={precision}", "train.ema=0.9"]  # fmt: skip
    train(TrainRequest(load_train_settings(None, base, {"arch": arch}), tmp_path / "run"), lambda line: None)
    assert len(seen) == 5
