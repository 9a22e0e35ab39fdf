"""A checkpoint that no training can go on from is refused before any of it is restored, with the part that is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import InputError

SETS = ["train.max_steps=2", "train.batch_size=2", "data.workers=0", "data.max_val_samples=4", "train.threads=1",
        "log.previews=0", "train.ema=0.5", "train.device=cpu"]  # fmt: skip


def resume(run: Path) -> None:
    settings = load_train_settings(None, ["train.max_steps=3"], {})
    train(TrainRequest(settings, run, True), lambda line: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    out = tmp_path_factory.mktemp("restore") / "run"
    train(TrainRequest(load_train_settings(None, SETS, {"arch": "crnn-tiny"}), out), lambda line: None)
    return out


def test_a_whole_one_goes_on(trained: Path, tmp_path: Path) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    resume(run)
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 3


def moments(raw: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = raw["optimizer_states"][0]["state"][0]
    return state


def groups(raw: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = raw["optimizer_states"][0]["param_groups"]
    return found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.pop("global_step"), "global_step: field required"),
        (lambda raw: raw.update(global_step="2"), "global_step: input should be a valid integer"),
        (lambda raw: raw.update(elapsed=float("nan")), "elapsed: input should be a finite number"),
        (lambda raw: raw.update(next_draw=-1), "next_draw: input should be greater"),
        (lambda raw: raw.update(schedule=[]), "schedule"),
        (lambda raw: raw.update(callbacks=None), "callbacks"),
        (lambda raw: raw["callbacks"]["RunCallback"].update(best="x"), "callbacks.RunCallback.best"),
        (lambda raw: raw.update(ema={}), "ema holds"),
        (lambda raw: raw.update(loss_scale=("x", 1)), "loss_scale should be two finite numbers"),
        (lambda raw: raw.pop("optimizer_states"), "optimizer_states should be a list of one state"),
        (lambda raw: raw.update(optimizer_states=[3]), "optimizer_states should be a list of one state"),
        (lambda raw: groups(raw).pop(), "groups of parameters"),
        (lambda raw: groups(raw)[0].pop("share"), "share of group 0"),
        (lambda raw: groups(raw)[0].update(betas=3), "betas of group 0"),
        (lambda raw: groups(raw)[0].update(params=[0]), "other parameters"),
        (lambda raw: moments(raw).update(exp_avg=torch.zeros(3)), "of parameter 0 does not fit"),
        (lambda raw: moments(raw).update(step="x"), "of parameter 0 does not fit"),
        (lambda raw: raw["optimizer_states"][0]["state"].update({10**6: {}}), "of parameter 1000000 does not fit"),
        (lambda raw: raw.update(loops=None), "loops should hold the counters"),
        (lambda raw: raw["loops"]["fit_loop"].update({"epoch_progress": None}), "loops.fit_loop.epoch_progress"),
        (lambda raw: raw["state_dict"].update({"model.x": torch.zeros(1)}), "state_dict holds model.x"),
    ],
)
def test_what_cannot_be_gone_on_from_is_named(
    trained: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    raw = torch.load(run / "last.ckpt", weights_only=True)
    change(raw)
    torch.save(raw, run / "last.ckpt")
    with pytest.raises(InputError, match="last.ckpt: no training can go on from it: ") as caught:
        resume(run)
    assert said in caught.value.message and "train -p" in (caught.value.hint or "")
