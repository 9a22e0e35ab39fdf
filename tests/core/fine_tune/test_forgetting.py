"""The report at the end of a --from run: both sets before and after, and exit 1 for a model that forgets."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from ocrctl.cli.app import app
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import InputError, UsageError
from ocrctl.inference.engine import Engine

SETS = ["train.batch_size=4", "data.workers=0", "train.threads=1", "log.previews=0"]
OLD, NEW = ["cat", "dog", "sun", "hat", "pen", "cup", "map", "fox"], ["9417", "2205", "8361", "7799"]


def draw(folder: Path, texts: list[str], labels: bool = True) -> Path:
    folder.mkdir(parents=True)
    for number, word in enumerate(texts):
        image = np.full((32, 90, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    if labels:
        lines = "".join(f"{number}.png\t{word}\n" for number, word in enumerate(texts))
        (folder / "rec_gt.txt").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def old(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words labelled with what the base reads in them: it reads all of them correctly."""
    folder = draw(tmp_path_factory.mktemp("data") / "old", OLD, labels=False)
    images = [cv2.imread(str(folder / f"{number}.png"))[:, :, ::-1] for number in range(len(OLD))]
    read = [item.text for item in Engine.load(tiny_checkpoint).recognize(images)]
    assert all(read)
    (folder / "rec_gt.txt").write_text("".join(f"{n}.png\t{text}\n" for n, text in enumerate(read)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("data") / "new", NEW)


def tune(tiny_checkpoint: Path, new: Path, out: Path, *more: str, steps: int = 4) -> tuple[int, str, str]:
    sets = [argument for one in [*SETS, f"train.max_steps={steps}", f"train.val_every_steps={steps}"]
            for argument in ("--set", one)]  # fmt: skip
    given = ["--from", str(tiny_checkpoint), "-d", str(new), "--val", str(new), "-o", str(out)]
    result = CliRunner().invoke(app, ["train", "crnn-tiny", *given, *sets, *more])
    return result.exit_code, result.stdout, result.stderr


def test_a_model_that_forgets_ends_with_exit_1_and_is_saved(
    tiny_checkpoint: Path, old: Path, new: Path, tmp_path: Path
) -> None:
    options = ("--general", str(old), "--set", "train.lr=0.01", "--set", "train.warmup=0", "--json")
    code, shown, log = tune(tiny_checkpoint, new, tmp_path / "run", *options)
    found = json.loads(shown)["forgetting"]
    assert code == 1 and (tmp_path / "run" / "best.ckpt").exists()
    assert found["general"]["before"] == 1 and found["general"]["after"] < 0.5
    assert found["general"]["change"]["high"] < 0 and found["general"]["samples"] == len(OLD)
    assert found["new"]["samples"] == len(NEW)
    assert "loses" in log and f"--val {new} --general {old}" in log and "ocrctl model merge" in log
    assert json.loads((tmp_path / "run" / "forgetting.json").read_text())["forgotten"] is True
    assert found["step"] == 4 and f"after: {tmp_path}/run/best.ckpt, step 4" not in log  # --json prints no table


def test_the_table_names_both_models_and_the_next_command_is_the_export(
    tiny_checkpoint: Path, old: Path, new: Path, tmp_path: Path
) -> None:
    sets = ("--val", str(old), "--general", str(old), "--set", "train.lr=0")
    code, shown, log = tune(tiny_checkpoint, new, tmp_path / "run", *sets)
    assert code == 0 and "before %" in shown
    assert f"before: {tiny_checkpoint}; after: {tmp_path}/run/best.ckpt, step 4" in log
    assert log.splitlines()[-1] == f"next: ocrctl export {tmp_path}/run -o {tmp_path}/run/export"


def test_without_labels_the_held_out_part_measures_agreement_with_the_base(
    tiny_checkpoint: Path, new: Path, tmp_path: Path
) -> None:
    images = draw(tmp_path / "images", OLD, labels=False)
    options = ["--keep", f"images:{images}", "--set", "data.val_fraction=0.5", "--set", "train.lr=0"]
    code, shown, _ = tune(tiny_checkpoint, new, tmp_path / "run", *options, steps=1)
    assert code == 0, shown
    lines = [line.split("\t") for line in shown.splitlines() if line.startswith(("new", "general"))]
    assert lines[1][1:4] == [f"images:{images} (held out)", "agreement", "4"]
    assert lines[1][4:6] == ["100.00", "100.00"]


def test_rendered_text_measures_it_without_another_set_and_none_switches_it_off(
    tiny_checkpoint: Path, new: Path, tmp_path: Path
) -> None:
    code, shown, _ = tune(tiny_checkpoint, new, tmp_path / "one", "--set", "train.lr=0", steps=1)
    assert code == 0 and "\tsynth:words\texact\t500\t" in shown and "+0.00 [+0.00, +0.00]" in shown
    code, shown, _ = tune(tiny_checkpoint, new, tmp_path / "two", "--general", "none", steps=1)
    assert code == 0 and "general" not in shown
    assert not (tmp_path / "two" / "forgetting.json").exists()


def test_a_missing_general_set_is_found_before_the_training(tiny_checkpoint: Path, new: Path, tmp_path: Path) -> None:
    data = {"train": [str(new)], "general": str(tmp_path / "missing")}
    tree = {"arch": "crnn-tiny", "data": data, "model": {"init": str(tiny_checkpoint)}}
    with pytest.raises(InputError, match="missing"):
        train(TrainRequest(load_train_settings(None, SETS, tree), tmp_path / "run"), lambda line: None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("general", "message"), [("synth:wrds", "Unknown synthetic"), ("synth:pages", "not pages")])
def test_a_wrong_stream_is_found_before_the_training(
    general: str, message: str, tiny_checkpoint: Path, new: Path, tmp_path: Path
) -> None:
    tree = {"arch": "crnn-tiny", "data": {"train": [str(new)], "general": general},
            "model": {"init": str(tiny_checkpoint)}}  # fmt: skip
    with pytest.raises(UsageError, match=message):
        train(TrainRequest(load_train_settings(None, SETS, tree), tmp_path / "run"), lambda line: None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_failing_measurement_does_not_hide_the_finished_run(
    options: tuple[str, ...], tiny_checkpoint: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise InputError("old/3.png: cannot be read.")

    monkeypatch.setattr("ocrctl.core.fine_tune.forgetting.forgetting", fail)
    sets = [argument for one in [*SETS, "train.max_steps=1"] for argument in ("--set", one)]
    given = ["--from", str(tiny_checkpoint), "-d", str(new), "--val", str(new), "-o", str(tmp_path / "run")]
    arguments = ["train", "crnn-tiny", *given, *sets, *options]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, InputError)  # `run` of the command line turns it into exit 3
    assert f"the model is saved in {tmp_path / 'run'}, but measuring" in result.stderr
    if options:
        found = json.loads(result.stdout)
        assert found["steps"] == 1 and found["forgetting"] is None and "3.png" in found["error"]
    else:
        assert f"run: {tmp_path / 'run'}" in result.stdout and "steps: 1 in" in result.stdout


def test_pages_are_scored_by_hmean(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    for number in range(4):
        image = np.full((64, 96, 3), 255, np.uint8)
        cv2.putText(image, "cat", (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(pages / f"img_{number}.png"), image)
        (pages / f"gt_img_{number}.txt").write_text("20,20,70,20,70,44,20,44,cat\n", encoding="utf-8")
    small = ["train.max_steps=1", "page.height=64", "page.width=64", "page.side=96", "train.batch_size=2",
             "data.workers=0", "train.threads=1", "log.previews=0"]  # fmt: skip
    tree = {"arch": "dbnet", "data": {"train": [str(pages)]}}
    train(TrainRequest(load_train_settings(None, small, tree), tmp_path / "base"), lambda line: None)
    sets = [argument for one in small for argument in ("--set", one)]
    given = ["--from", str(tmp_path / "base"), "-d", str(pages), "--keep", f"images:{pages}"]
    result = CliRunner().invoke(app, ["train", "dbnet", *given, "-o", str(tmp_path / "run"), *sets, "--json"])
    found = json.loads(result.stdout)["forgetting"]
    assert found["new"]["metric"] == "hmean" and found["general"]["metric"] == "agreement"
