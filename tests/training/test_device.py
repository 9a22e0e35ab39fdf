"""Which device a run gets."""

from __future__ import annotations

import pytest
import torch

from ocrctl.config.settings import TrainSettings
from ocrctl.errors import MissingRequirement, UsageError
from ocrctl.training.device import resolve_accelerator


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))


@pytest.mark.usefixtures("two_cards")
def test_one_gpu_unless_more_are_asked_for_and_no_more_than_there_are() -> None:
    assert resolve_accelerator(TrainSettings()).device == "cuda"
    assert resolve_accelerator(TrainSettings(devices=2)).device == "cuda"
    with pytest.raises(MissingRequirement, match="train.devices is 3, but this process sees 2 CUDA devices") as caught:
        resolve_accelerator(TrainSettings(devices=3))
    assert "--gpus-per-node" in str(caught.value.hint)


def test_batch_statistics_of_all_need_several_gpus() -> None:
    with pytest.raises(UsageError, match="train.sync_batchnorm: requires several GPUs"):
        resolve_accelerator(TrainSettings(device="cpu", devices=2, sync_batchnorm=True))


def test_cuda_asked_for_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingRequirement, match="no usable CUDA device"):
        resolve_accelerator(TrainSettings(device="cuda"))
    assert resolve_accelerator(TrainSettings()).device == "cpu"
