"""Values that are not finite: blocked on the device from the first bad step, found, kept, rebuilt, gone on from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ocrctl.training.objectives as objectives
from ocrctl.cli.app import run as run_command
from ocrctl.core.train.recognition import prepare
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.diagnose.replay import replay
from ocrctl.errors import InputError, ResumableStop
from ocrctl.models.checkpoint import load_checkpoint, read_checkpoint
from ocrctl.models.registry import get_spec
from ocrctl.training.ema import WeightAverage
from ocrctl.training.guard import LossScale, Statistics, StepGuard
from ocrctl.training.nonfinite_samples import read_excluded

SETS = ["train.max_steps=12", "train.val_every_steps=4", "train.log_every_steps=4", "train.batch_size=4",
        "data.workers=0", "data.max_val_samples=4", "train.threads=1", "train.schedule=constant", "train.ema=0.5",
        "log.previews=0"]  # fmt: skip
BAD = 4 * 6 + 2  # a draw of the seventh step


def go(out: Path, *sets: str, resume: bool = False) -> None:
    settings = load_train_settings(None, [*([] if resume else SETS), *sets], {} if resume else {"arch": "crnn-tiny"})
    train(TrainRequest(settings, out, resume), lambda line: None)


def plant(monkeypatch: pytest.MonkeyPatch, *numbers: int, size: int = 1, gradient: bool = False) -> None:
    """The loss, or only the gradient, of every batch of at least `size` samples with a draw of `numbers` is NaN."""
    learn = objectives.ctc_objective

    def planted(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        loss = learn(model, batch)
        bad = torch.isin(batch["ids"], torch.tensor(numbers)).any() & (len(batch["ids"]) >= size)
        if gradient:
            return loss + torch.sqrt(torch.where(bad, 0.0, 1.0) * loss.square())  # the root of 0 has no gradient
        return torch.where(bad, torch.nan, loss)

    monkeypatch.setattr(objectives, "ctc_objective", planted)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run stopped by a bad sample, and what it said."""
    out = tmp_path_factory.mktemp("guard") / "run"
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, BAD)
        with pytest.raises(ResumableStop) as caught:
            go(out)
    return out, f"{caught.value.message} {caught.value.hint}"


def test_a_bad_sample_is_named_and_its_batch_kept(stopped: tuple[Path, str]) -> None:
    out, said = stopped
    folder = out / "quarantine" / "step-0000007"
    assert f"step 7: 1 of its 4 samples alone give it, first synth:words {BAD}" in said
    assert f"ocrctl diagnose replay {folder}" in said
    meta = json.loads((folder / "step.json").read_text())
    assert meta["samples"] == [BAD] and meta["sizes"] == [4]


def test_the_batch_is_rebuilt_exactly(stopped: tuple[Path, str]) -> None:

    out, _ = stopped
    with np.load(out / "quarantine" / "step-0000007" / "batch.npz") as kept:
        settings = load_train_settings([str(out / "config.toml")], [], {})
        data = prepare(settings, get_spec(settings.arch or ""), lambda line: None)
        batch = data.samples.__getitems__(range(24, 28))
        assert np.array_equal(kept["images.0"], batch.images) and np.array_equal(kept["labels.0"], batch.labels)
        assert kept["ids.0"].tolist() == [24, 25, 26, 27]


def test_the_state_before_is_kept_bit_for_bit(stopped: tuple[Path, str], tmp_path: Path) -> None:
    """Weights, moments, statistics and average after the stop are those of a run of six steps."""
    go(tmp_path / "six", "train.max_steps=6")
    kept, six = (read_checkpoint(run / "last.ckpt") for run in (stopped[0], tmp_path / "six"))
    assert kept["global_step"] == six["global_step"] == 6 and kept["next_draw"] == six["next_draw"] == 24
    for name, value in six["state_dict"].items():
        assert torch.equal(value, kept["state_dict"][name]) or "num_batches" in name, name
    for name, value in six["ema"].items():
        assert torch.equal(value, kept["ema"][name]), name
    for place, state in six["optimizer_states"][0]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, kept["optimizer_states"][0]["state"][place][name]), (place, name)


def test_replay_plays_the_step_back(stopped: tuple[Path, str], tmp_path: Path) -> None:
    """The fault was planted into the loss, not the sample: played back without it, all is finite; with it, named."""
    folder = stopped[0] / "quarantine" / "step-0000007"
    again = replay(folder)
    assert not again.failed
    (samples,) = [row.detail for row in again.checks if row.name == "samples"]
    assert samples.endswith(f"training on cpu found: 1 of its 4 samples alone give it, first synth:words {BAD}")
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, BAD)
        rows = {row.name: row for row in replay(folder).failed}
    assert rows.keys() == {"samples", "loss"}
    assert f"synth:words {BAD} (draw {BAD})" in rows["samples"].detail
    with pytest.raises(InputError, match="not a quarantined step"):
        replay(tmp_path)


@pytest.mark.parametrize("text", ["", "7", "[[1]]", "[" * 100_000, "\0"])
def test_a_damaged_list_of_excluded_samples_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "quarantine").mkdir()
    (tmp_path / "quarantine" / "excluded.json").write_text(text)
    with pytest.raises(InputError, match=r"excluded.json: cannot be read"):
        read_excluded(tmp_path)


def test_the_average_is_what_is_shipped(stopped: tuple[Path, str]) -> None:
    path = stopped[0] / "last.ckpt"
    shipped, average = load_checkpoint(path)[1], read_checkpoint(path)["ema"]
    assert all(torch.equal(value, average[name]) for name, value in shipped.items() if name in average)
    assert average.keys() >= {"head.linear.weight", "encoder.blocks.1.running_mean"}


def test_a_run_goes_on_without_the_sample_or_with_it(stopped: tuple[Path, str], tmp_path: Path) -> None:
    """With the fault gone it goes on bit for bit; with on_nonfinite=skip the sample is never drawn again."""
    whole, again, skipping = tmp_path / "whole", tmp_path / "again", tmp_path / "skipping"
    go(whole)
    shutil.copytree(stopped[0], again)
    go(again, resume=True)
    first, second = (read_checkpoint(run / "last.ckpt")["state_dict"] for run in (whole, again))
    assert all(torch.equal(value, second[name]) for name, value in first.items() if "num_batches" not in name)
    shutil.copytree(stopped[0], skipping)
    with pytest.MonkeyPatch.context() as patch:
        plant(patch, BAD)
        go(skipping, "train.on_nonfinite=skip", resume=True)
    assert read_checkpoint(skipping / "last.ckpt")["next_draw"] == 4 * 12 + 1


def test_skip_counts_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, BAD)
    lines: list[str] = []
    settings = load_train_settings(None, [*SETS, "train.on_nonfinite=skip"], {"arch": "crnn-tiny"})
    result = train(TrainRequest(settings, tmp_path / "run"), lines.append)
    assert result.steps == 12 and result.last["skipped"] == 1
    assert any(line.startswith("step 7 skipped: 1 of its 4 samples") for line in lines)
    assert json.loads((tmp_path / "run" / "quarantine" / "excluded.json").read_text()) == [[0, BAD]]


def test_past_the_most_that_is_kept_a_step_is_only_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps 7 and 10 are bad; then 11, which is more than two, and what stops a run is kept all the same."""
    plant(monkeypatch, BAD, BAD + 12)
    lines: list[str] = []
    sets = [*SETS, "train.on_nonfinite=skip", "train.max_quarantined=1", "train.max_skipped_share=1"]
    run = tmp_path / "run"
    train(TrainRequest(load_train_settings(None, sets, {"arch": "crnn-tiny"}), run), lines.append)
    first, second = [line for line in lines if " skipped: " in line]
    assert first.endswith("quarantine/step-0000007") and second.endswith("quarantine/excluded.json")
    assert {path.name for path in (run / "quarantine").iterdir()} == {"excluded.json", "step-0000007"}
    assert json.loads((run / "quarantine" / "excluded.json").read_text()) == [[0, BAD], [0, BAD + 12]]
    plant(monkeypatch, BAD + 16)
    sets += ["train.max_skipped_steps=2"]
    with pytest.raises(ResumableStop, match="3 of 12 .*, more than train.max_skipped_steps=2 allows; step 10"):
        train(TrainRequest(load_train_settings(None, sets, {"arch": "crnn-tiny"}), tmp_path / "other"), lines.append)
    kept = {path.name for path in (tmp_path / "other" / "quarantine").iterdir()}
    assert kept == {"excluded.json", "step-0000007", "step-0000010"}


@pytest.mark.parametrize("sets", [[], ["train.log_every_steps=50", "train.val_every_steps=50"]], ids=["early", "late"])
def test_a_run_whose_steps_are_all_skipped_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sets: list[str]
) -> None:
    """The share: 4 of the first 4 steps, or all 12 at the end; one folder, no sample blamed, no next command."""
    plant(monkeypatch, *range(1000))
    words = [word for item in [*SETS, "train.on_nonfinite=skip", *sets] for word in ("--set", item)]
    assert run_command(["train", "crnn-tiny", "-d", "synth:words", "-o", str(tmp_path / "run"), *words]) == 5
    said = capsys.readouterr().err.splitlines()
    steps = 12 if sets else 4
    assert f"{steps} of {steps} steps were skipped because the loss or its gradients were not finite" in said[-2]
    assert "step 1: each of its 4 samples gives it alone, so the model and not the data does" in said[-2]
    assert said[-1] == f"hint: inspect it: ocrctl diagnose replay {tmp_path / 'run' / 'quarantine' / 'step-0000001'}"
    assert not any("next:" in line for line in said)
    assert [path.name for path in (tmp_path / "run" / "quarantine").iterdir()] == ["step-0000001"]


@pytest.mark.parametrize(
    ("planted", "said", "excluded"),
    [
        ({"numbers": [BAD, BAD + 1]}, "2 of its 4 samples alone give it, first synth:words 26", [BAD, BAD + 1]),
        ({"numbers": [BAD], "gradient": True}, "1 of its 4 samples alone give it, first synth:words 26", [BAD]),
        ({"numbers": range(24, 28)}, "each of its 4 samples gives it alone", None),
        ({"numbers": [BAD], "size": 4}, "none of its 4 samples gives it alone", [24, 25, 26, 27]),
    ],
    ids=["two", "gradient", "each", "none"],
)
def test_training_and_replay_give_one_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: dict[str, Any], said: str, excluded: list[int] | None
) -> None:
    plant(monkeypatch, *planted.pop("numbers"), **planted)
    with pytest.raises(ResumableStop) as caught:
        go(tmp_path / "run")
    assert f"step 7: {said}" in caught.value.message
    folder = tmp_path / "run" / "quarantine"
    meta = json.loads((folder / "step-0000007" / "step.json").read_text())
    rows = {row.name: row for row in replay(folder / "step-0000007").checks}
    assert meta["sentence"] in rows["samples"].detail or "none of its" in said
    assert "found:" not in rows["samples"].detail  # that the two differ
    assert (rows["samples"].status == "ok") == ("none of its" in said)
    assert rows["loss"].status == ("ok" if "gradient" in planted else "fail")
    assert rows["gradients"].status == ("fail" if "gradient" in planted else "ok")
    listed = json.loads((folder / "excluded.json").read_text()) if (folder / "excluded.json").exists() else None
    assert listed == (excluded and [[0, number] for number in excluded])


def test_a_bad_weight_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn, calls = objectives.ctc_objective, []

    def planted(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 6:
            with torch.no_grad():
                model.head.linear.bias[3] = torch.nan
        return learn(model, batch)

    monkeypatch.setattr(objectives, "ctc_objective", planted)
    with pytest.raises(ResumableStop, match="step 6: 1 weights are not finite, first head.linear.bias"):
        go(tmp_path / "run")
    saved = read_checkpoint(tmp_path / "run" / "last.ckpt")
    assert saved["global_step"] == 4
    assert all(bool(torch.isfinite(v).all()) for v in (*saved["state_dict"].values(), *saved["ema"].values()))


def test_weights_broken_by_an_update_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of the step before a validation was finite, what its update left is not."""
    learn, calls = objectives.ctc_objective, []

    def planted(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        calls.append(1)
        loss = learn(model, batch)
        if len(calls) == 8:
            model.head.linear.bias.data[3] = torch.nan
        return loss

    monkeypatch.setattr(objectives, "ctc_objective", planted)
    with pytest.raises(ResumableStop, match="step 8: 1 weights are not finite, first head.linear.bias"):
        go(tmp_path / "run")
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == 4


def test_accumulated_batches_are_all_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, BAD)
    with pytest.raises(ResumableStop, match="step 4: 1 of its 8 samples"):
        go(tmp_path / "run", "train.accumulate=2", "train.max_steps=6")
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == 3


def test_guard_latches_or_not() -> None:
    nan, one = torch.tensor(torch.nan), torch.tensor(1.0)
    for latch, held in ((True, [0, 1, 1, 1]), (False, [0, 1, 0, 1])):
        guard = StepGuard(torch.device("cpu"), 4, latch=latch)
        flags = [guard.record(loss, norm) for loss, norm in ((one, one), (nan, one), (one * 3, one), (one, nan))]
        assert [int(flag) for flag in flags] == held
        report = guard.read()
        assert report.bad == (2, 4) and report.steps == 4
        assert report.loss == (1.0 if latch else 2.0)


def test_an_overflow_of_scaled_gradients_is_no_bad_step() -> None:
    scale, guard = LossScale(torch.device("cpu"), 4.0), StepGuard(torch.device("cpu"), 8, latch=True)
    one, infinite = torch.tensor(1.0), torch.tensor(torch.inf)
    held = []
    for _ in range(3):
        held.append(int(guard.record(one, infinite, scale.allows_overflow())))
        scale.update(infinite)
    assert held == [1, 1, 1] and scale.state()[0] == 1.0
    assert guard.read().bad == (3,)  # at scale 1 there is nothing left to blame the scale for


def test_statistics_and_average_keep_out_what_is_blocked() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    statistics, average = Statistics(model), WeightAverage(model, 0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    statistics.keep()
    model(torch.full((2, 1, 3, 3), torch.nan))
    assert bool(torch.isnan(model[1].running_mean).all())
    average.update(model, 5, torch.tensor(1.0))
    statistics.restore_where(torch.tensor(1.0))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) or "num_batches" in name
        assert "num_batches" in name or torch.equal(average.tensors[name], before[name])
    statistics.keep()
    model(torch.ones(2, 1, 3, 3))
    statistics.restore_where(torch.tensor(0.0))
    assert not torch.equal(model[1].running_mean, before["1.running_mean"])
