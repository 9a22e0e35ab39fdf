"""A training step waits for nothing: no value of a tensor is read between logs, and nothing is copied to or from the
host."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ocrctl.config.settings import TrainSettings
from ocrctl.core.diagnose.machine import step_card
from ocrctl.core.settings import load_settings
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.diagnose.cuda_step import HostWaits
from ocrctl.models.build import build_model
from ocrctl.training.distillation import distillation
from ocrctl.training.module import TrainingModule
from ocrctl.training.objectives import choose_objective, to_device
from ocrctl.training.trial import trial_batch

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


class FromHost(TorchFunctionMode):
    """Counts tensors that are made of values of the host: with a device they are copied, and the host waits. PyTorch
    makes them without an operation, so that HostWaits does not see them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor) and not made.is_cpu:
            self.found.append(func.__name__)
        return made


@pytest.fixture
def other_device(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A device other than the CPU whose tensors have no values: reading one, or a copy to the CPU, raises."""
    autocast = torch.autocast

    def for_meta(device_type: str, *args: Any, **named: Any) -> Any:
        return contextlib.nullcontext() if device_type == "meta" else autocast(device_type, *args, **named)

    monkeypatch.setattr(torch, "autocast", for_meta)
    return torch.device("meta")


@pytest.mark.parametrize(
    ("arch", "sets"),
    [
        ("crnn-tiny", ["model.resize=stretch"]),
        ("svtrv2-tiny", []),
        ("svtrv2-tiny", ["model.guidance=true"]),
        ("ppocr-rec-tiny", []),
        ("attention-crnn-tiny", ["model.resize=keep"]),
        ("parseq-tiny", []),
        ("satrn-tiny", ["model.resize=keep"]),
        ("true2d-tiny", []),
        ("true2d-tiny", ["model.resize=keep"]),
        ("dbnet", []),
        ("dbnetpp", []),
        ("ppocr-det-tiny", []),
        ("pan", []),
        ("craft", []),
    ],
)
def test_on_another_device_nothing_is_copied_to_or_from_the_host(
    arch: str, sets: list[str], other_device: torch.device
) -> None:
    small = ["page.height=128", "page.width=128", "page.side=128"]
    settings = load_settings([], ["train.device=cpu", *small, *sets], {"arch": arch})
    card = step_card(settings)
    model = build_model(card).to(other_device).train()
    batch = to_device(trial_batch(card, 2), other_device)
    objective = choose_objective(card, settings.train)
    with HostWaits() as waits, FromHost() as made:
        objective(model, batch).backward()
    assert waits.found == made.found == []


@pytest.mark.parametrize("arch", ["crnn-tiny", "dbnet"])
def test_kept_images_cost_no_wait_either(arch: str, other_device: torch.device) -> None:
    """What an autoregressive base reads is not in it: it waits at each character to see which texts have ended."""
    small = ["page.height=128", "page.width=128", "page.side=128"]
    card = step_card(load_settings([], small, {"arch": arch}))
    model, base = (build_model(card).to(other_device) for _ in range(2))
    objective = distillation(choose_objective(card, TrainSettings()), base, card, card, 1.0, 1.0)
    kept = {"images": trial_batch(card, 2)["images"].permute(0, 2, 3, 1).contiguous().to(other_device)}
    objective.of_kept(model, kept).backward()  # the first step copies the tables of classes
    with HostWaits() as waits, FromHost() as made:
        objective.of_kept(model, kept).backward()
    assert waits.found == made.found == []


class Copies(nn.Module):
    """A loss with one copy of each kind that the host waits for, or none."""

    def forward(self, values: torch.Tensor, kind: str) -> torch.Tensor:
        """values: (4,)."""
        host = torch.arange(4)
        if kind == "to the CPU":
            return values.cpu()
        if kind == "to the CPU later":
            return values.to("cpu", non_blocking=True)
        if kind == "from the CPU":
            return values + host.to(values.device)
        if kind == "into":
            return values.clone().copy_(host)
        if kind == "positions of the CPU":
            return values[host]
        return values + host.to(values.device, non_blocking=True)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("to the CPU", "_to_copy"), ("to the CPU later", "_to_copy"), ("from the CPU", "_to_copy"), ("into", "copy_"),
     ("positions of the CPU", "index"), ("from the CPU later", None)],
)  # fmt: skip
def test_copies_between_devices_are_counted(kind: str, name: str | None) -> None:
    with HostWaits() as waits, contextlib.suppress(NotImplementedError):  # the values are not there
        Copies()(torch.ones(4, device="meta"), kind)
    assert waits.found == ([] if name is None else [name])


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("arch", "resize"),
    [("parseq-tiny", "stretch"), ("crnn-tiny", "stretch"), ("crnn-tiny", "keep"), ("svtrv2-tiny", "keep")],
)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_step_on_a_gpu_waits_for_nothing(
    arch: str, resize: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch itself raises on a synchronisation inside the step."""
    step = TrainingModule.training_step
    seen = []

    def watched(self: TrainingModule, batch: Any, batch_idx: int) -> None:
        strict = batch_idx >= 2  # the first steps set kernels and moments up
        torch.cuda.set_sync_debug_mode("error" if strict else "default")
        try:
            step(self, batch, batch_idx)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        seen.append(strict)

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    base = ["train.max_steps=5", "train.batch_size=4", "data.workers=0", "data.max_val_samples=2", "log.previews=0",
            "train.device=cuda", f"train.precision={precision}", f"model.resize={resize}", "train.ema=0.9"]  # fmt: skip
    train(TrainRequest(load_train_settings(None, base, {"arch": arch}), tmp_path / "run"), lambda line: None)
    assert len(seen) == 5
