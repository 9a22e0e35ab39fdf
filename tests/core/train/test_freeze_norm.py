"""`train.freeze_norm`: statistics of normalisation stay what the model brought, and training uses them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import UsageError
from ocrctl.models.checkpoint import read_checkpoint

QUICK = ["train.max_steps=4", "train.val_every_steps=2", "train.log_every_steps=2", "train.batch_size=4",
         "data.workers=0", "data.max_val_samples=4", "train.threads=1", "train.schedule=constant"]  # fmt: skip
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def run(out: Path, *sets: str) -> dict[str, torch.Tensor]:
    settings = load_train_settings(None, [*QUICK, *sets], {"arch": "crnn-tiny"})
    train(TrainRequest(settings, out), lambda line: None)
    return read_checkpoint(out / "last.ckpt")["state_dict"]


def test_statistics_stay_and_weights_learn(tmp_path: Path) -> None:
    run(tmp_path / "before")
    place = tmp_path / "before" / "last.ckpt"
    start = read_checkpoint(place)["state_dict"]
    assert sum(name.endswith(STATISTICS) for name in start) >= 3
    after = run(tmp_path / "frozen", f"model.init={place}", "train.freeze_norm=true")
    for name, value in after.items():  # a validation lies between the steps: the mode comes back as it was
        assert torch.equal(value, start[name]) == name.endswith(STATISTICS), name
    free = run(tmp_path / "free", f"model.init={place}")
    assert not any(torch.equal(value, start[name]) for name, value in free.items() if name.endswith("running_mean"))


def test_a_new_model_has_none_to_keep(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train\.freeze_norm"):
        run(tmp_path / "new", "train.freeze_norm=true")
    assert not (tmp_path / "new").exists()
