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
    default = run(tmp_path / "default", f"model.init={place}")  # frozen with --from
    assert all(torch.equal(value, after[name]) for name, value in default.items())
    free = run(tmp_path / "free", f"model.init={place}", "train.freeze_norm=false")
    assert not any(torch.equal(value, start[name]) for name, value in free.items() if name.endswith("running_mean"))


def test_a_new_model_has_none_to_keep(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train\.freeze_norm"):
        run(tmp_path / "new", "train.freeze_norm=true")
    assert not (tmp_path / "new").exists()


def test_frozen_layers_keep_weights_and_statistics_and_resume_exactly(tmp_path: Path) -> None:
    run(tmp_path / "before")
    base = tmp_path / "before" / "last.ckpt"
    start = read_checkpoint(base)["state_dict"]
    sets = [f"model.init={base}", "train.freeze=3", "train.freeze_norm=false", "train.layer_decay=0.8", "train.ema=0.9"]
    lines: list[str] = []
    settings = load_train_settings(None, [*QUICK, *sets], {"arch": "crnn-tiny"})
    train(TrainRequest(settings, tmp_path / "whole"), lines.append)
    whole = read_checkpoint(tmp_path / "whole" / "last.ckpt")
    lower = ("model.encoder.blocks.0.", "model.encoder.blocks.1.", "model.encoder.blocks.3.", "model.encoder.blocks.4.",
             "model.encoder.blocks.6.", "model.encoder.blocks.7.")  # fmt: skip
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, start[name]) == name.startswith(lower), name
        if name.startswith(lower) and value.is_floating_point():
            assert torch.equal(whole["ema"][name.removeprefix("model.")], start[name])
    own = [name for name in start if name.endswith(("weight", "bias")) or "lstm" in name]
    every, rest = (sum(start[n].numel() for n in own if not n.startswith(kept)) for kept in ((), lower))
    assert f"frozen: layers 0 to 2 of 7; {rest:,} of {every:,} parameters train" in lines
    run(tmp_path / "cut", *sets, "train.max_steps=2")
    again = load_train_settings(None, ["train.max_steps=4"], {})
    train(TrainRequest(again, tmp_path / "cut", resume=True), lambda line: None)
    cut = read_checkpoint(tmp_path / "cut" / "last.ckpt")
    assert all(torch.equal(value, cut["state_dict"][name]) for name, value in whole["state_dict"].items())


def test_random_weights_are_not_frozen(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train\.freeze: requires --from"):
        run(tmp_path / "new", "train.freeze=2")
