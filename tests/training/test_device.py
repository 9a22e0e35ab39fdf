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
def test_more_than_one_gpu_is_refused_not_trained_on_the_same_samples() -> None:
    with pytest.raises(UsageError, match="a run trains on one GPU so far"):
        resolve_accelerator(TrainSettings(devices=2))
    assert resolve_accelerator(TrainSettings(devices=1)).device == "cuda"


@pytest.mark.usefixtures("two_cards")
def test_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for usable in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda usable=usable: usable)
        with pytest.raises(UsageError, match="train.devices is 3, but a run trains on one GPU so far"):
            resolve_accelerator(TrainSettings(devices=3))


def test_cuda_asked_for_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingRequirement, match="no usable CUDA device"):
        resolve_accelerator(TrainSettings(device="cuda"))
    assert resolve_accelerator(TrainSettings()).device == "cpu"
