"""Which device a run gets."""

from __future__ import annotations

import pytest
import torch

from ocrctl.config.settings import TrainSettings
from ocrctl.errors import MissingRequirement, UsageError
from ocrctl.training.device import place


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))


@pytest.mark.usefixtures("two_cards")
def test_more_than_one_gpu_is_refused_not_trained_on_the_same_samples() -> None:
    with pytest.raises(UsageError, match="a run trains on one GPU so far"):
        place(TrainSettings(devices=2))
    assert place(TrainSettings(devices=1)).device == "cuda"


@pytest.mark.usefixtures("two_cards")
def test_more_gpus_than_there_are_is_what_the_machine_lacks() -> None:
    with pytest.raises(MissingRequirement, match="train.devices is 3, but 2 CUDA devices are usable"):
        place(TrainSettings(devices=3))


def test_cuda_asked_for_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingRequirement, match="no usable CUDA device"):
        place(TrainSettings(device="cuda"))
    assert place(TrainSettings()).device == "cpu"
