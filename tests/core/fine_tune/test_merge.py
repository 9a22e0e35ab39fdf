"""`model merge`: the line between two models, its ends exact, its best point within the limit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ocrctl.cli.app import app
from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.settings import ModelSettings
from ocrctl.core.eval.set_scores import SetScores
from ocrctl.core.fine_tune.merge import MergeOptions, Point, _best, merge
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import InputError, UsageError
from ocrctl.models.build import build_model
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.models.registry import get_spec


def save(path: Path, card: ModelCard, seed: int) -> Path:
    torch.manual_seed(seed)
    state = {f"model.{name}": value for name, value in build_model(card).state_dict().items()}
    torch.save({CARD_KEY: card.to_json(), "state_dict": state}, path)
    return path


CARD = ModelCard("crnn-tiny", "recognition", "abcd", 32, 100, 1, 25, model={"dropout": 0.1})


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    labels = []
    for number, word in enumerate(["cat", "dog", "sun", "hat", "pen", "cup"]):
        image = np.full((32, 90, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        labels.append(f"{number}.png\t{word}\n")
    (folder / "rec_gt.txt").write_text("".join(labels), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def learned(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that reads the six words."""
    out = tmp_path_factory.mktemp("runs") / "learned"
    sets = ["train.max_steps=120", "train.batch_size=6", "data.workers=0", "train.threads=1", "log.previews=0",
            "train.optimizer=muon", "data.augment=0", "train.val_every_steps=120", "model.dropout=0"]  # fmt: skip
    data = {"train": [str(words)], "val": str(words)}
    train(TrainRequest(load_train_settings(None, sets, {"arch": "crnn-tiny", "data": data}), out), lambda line: None)
    return out


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_every_weight_lies_on_the_line(tmp_path: Path, alpha: float) -> None:
    base, new = save(tmp_path / "base.ckpt", CARD, 1), save(tmp_path / "new.ckpt", CARD, 2)
    found = merge(MergeOptions(str(base), str(new), tmp_path / "out.ckpt", alpha))
    assert found.alpha == alpha and found.points == []
    card, weights = load_checkpoint(tmp_path / "out.ckpt")
    one, two = (load_checkpoint(path)[1] for path in (base, new))
    assert replace(card, version="") == CARD
    for name, value in weights.items():
        if not value.is_floating_point():
            continue
        if alpha in (0.0, 1.0):
            assert torch.equal(value, (two if alpha else one)[name])
        torch.testing.assert_close(value, (1 - alpha) * one[name] + alpha * two[name])


def test_class_weights_are_matched_by_character(tmp_path: Path) -> None:
    base = save(tmp_path / "base.ckpt", CARD, 1)
    new = save(tmp_path / "new.ckpt", replace(CARD, charset="xcb"), 2)
    found = merge(MergeOptions(str(base), str(new), tmp_path / "out.ckpt", 0.5))
    card, weights = load_checkpoint(tmp_path / "out.ckpt")
    one, two = (load_checkpoint(path)[1]["head.linear.weight"] for path in (base, new))
    merged = weights["head.linear.weight"]
    assert card.charset == "xcb" and "2 characters of the base are lost" in found.notes[0]
    torch.testing.assert_close(merged[0], (one[0] + two[0]) / 2)  # the blank
    assert torch.equal(merged[1], two[1])  # x is only in the new model
    torch.testing.assert_close(merged[2], (one[3] + two[2]) / 2)  # c
    torch.testing.assert_close(merged[3], (one[2] + two[3]) / 2)  # b


def test_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    base = save(tmp_path / "base.ckpt", CARD, 1)
    other = save(tmp_path / "other.ckpt", replace(CARD, arch="crnn", width=128, max_label_length=32), 1)
    apart = save(tmp_path / "apart.ckpt", replace(CARD, charset="xyz"), 1)
    out = tmp_path / "out.ckpt"
    with pytest.raises(InputError, match="only models of one architecture"):
        merge(MergeOptions(str(base), str(other), out, 0.5))
    with pytest.raises(InputError, match="share no character"):
        merge(MergeOptions(str(base), str(apart), out, 0.5))
    with pytest.raises(UsageError, match="requires --val"):
        merge(MergeOptions(str(base), str(base), out))
    with pytest.raises(UsageError, match="0 .the base. to 1"):
        merge(MergeOptions(str(base), str(base), out, 1.5))
    with pytest.raises(UsageError, match="exists already"):
        merge(MergeOptions(str(base), str(other), base, 0.5))
    with pytest.raises(InputError, match="cannot be written"):  # before the models are read
        merge(MergeOptions(str(tmp_path / "none.ckpt"), str(base), base / "out.ckpt", 0.5))
    assert not out.exists()


def test_the_best_point_is_within_the_limit_and_nearest_to_the_base() -> None:
    def point(alpha: float, val: float, within: bool) -> Point:
        return Point(alpha, val, None, None, None, within)

    assert _best([point(0, 0.5, True), point(0.5, 0.7, True), point(1, 0.9, False)]) == 0.5
    assert _best([point(0, 0.5, True), point(0.5, 0.9, True), point(1, 0.9, True)]) == 0.5
    assert _best([point(0, 0.5, True), point(0.5, 0.9, False), point(1, 0.9, False)]) == 0


def test_changes_are_paired() -> None:
    before = SetScores("a", "exact", np.array([[1.0], [0.0], [1.0], [0.0]] * 25))
    after = SetScores("a", "exact", np.array([[1.0], [1.0], [1.0], [0.0]] * 25))
    change = after.change_from(before)
    assert change.value == pytest.approx(0.25) and 0.1 < change.low < change.value < change.high < 0.4
    same = before.change_from(before)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    pages = SetScores("a", "hmean", np.array([[2.0, 4.0, 2.0], [1.0, 1.0, 3.0]]))
    assert pages.value == pytest.approx(2 * 3 / (5 + 5))
    with pytest.raises(ValueError, match="same samples"):
        pages.change_from(before)


def test_auto_measures_both_sets_and_keeps_the_limit(tmp_path: Path, words: Path, learned: Path) -> None:
    """A model that reads six words, and its random base."""
    card, _ = load_checkpoint(learned / "best.ckpt")
    base = save(tmp_path / "base.ckpt", card, 1)
    report = tmp_path / "report.html"
    arguments = ["model", "merge", str(base), str(learned), "-o", str(tmp_path / "out.ckpt"), "--val",
                 str(words), "--general", "synth:words", "--limit", "20", "--report", str(report), "--json",
                 "--threads", "1", "--jobs", "0"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [point["alpha"] for point in found["points"]] == [step / 10 for step in range(11)]
    first, last = found["points"][0], found["points"][-1]
    assert first["val"] == 0 and last["val"] >= 0.8 and found["alpha"] > 0
    assert first["val_change"]["value"] == 0 and last["val_change"]["low"] > 0
    page = report.read_text("utf-8")
    assert page.count("<polyline") == 2 and "general exact %" in page
    card, _ = load_checkpoint(tmp_path / "out.ckpt")
    assert card.arch == "crnn-tiny"
    tsv = CliRunner().invoke(app, [*arguments[:-7], "--alpha", "0.5", "-o", str(tmp_path / "half.ckpt")])
    assert tsv.exit_code == 0 and "val exact %" in tsv.stdout and "0.5 *" in tsv.stdout


def test_a_share_that_forgets_too_much_is_written_with_exit_1(tmp_path: Path, words: Path, learned: Path) -> None:
    card, _ = load_checkpoint(learned / "best.ckpt")
    new = save(tmp_path / "new.ckpt", card, 1)
    arguments = ["model", "merge", str(learned), str(new), "-o", str(tmp_path / "out.ckpt"), "--val",
                 str(words), "--general", str(words), "--threads", "1", "--jobs", "0"]  # fmt: skip
    result = CliRunner().invoke(app, [*arguments, "--alpha", "1"])
    assert result.exit_code == 1 and (tmp_path / "out.ckpt").exists()
    assert "loses more than 1 points" in result.stderr
    (tmp_path / "out.ckpt").unlink()
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0


def test_detectors_are_scored_by_hmean(tmp_path: Path) -> None:
    card = detection_card(get_spec("dbnet"), ModelSettings(), height=64, width=64, side=64)
    base, new = save(tmp_path / "base.ckpt", card, 1), save(tmp_path / "new.ckpt", card, 2)
    options = MergeOptions(
        str(base), str(new), tmp_path / "out.ckpt", 0.5, "synth:pages", "synth:pages", 100, limit=2, threads=1, jobs=0
    )
    found = merge(options)
    assert found.metric == "hmean" and [point.alpha for point in found.points] == [0, 0.5, 1]
    assert load_checkpoint(tmp_path / "out.ckpt")[0].thresholds == card.thresholds
    with pytest.raises(UsageError, match="scored by hmean"):
        merge(replace(options, out=tmp_path / "two.ckpt", protocol="exact"))
