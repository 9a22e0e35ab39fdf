"""A model whose predictions are all empty or all one string is reported after train.collapse_steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ocrctl.config.detection_card import detection_card
from ocrctl.config.settings import ModelSettings, Settings, TrainSettings
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.models.registry import get_spec
from ocrctl.training.collapse import CollapseWatch
from ocrctl.training.page_validation import PageValidation

EMPTY = "40 of 40 predictions are empty"


def settings(arch: str, limit: int = 100) -> Settings:
    return Settings(arch=arch, train=TrainSettings(collapse_steps=limit, lr=0.02))


def test_it_is_reported_once_after_the_limit_and_its_end_too(tmp_path: Path) -> None:
    lines: list[str] = []
    watch = CollapseWatch(tmp_path / "my run", settings("crnn-tiny"), lines.append)
    watch.check(50, EMPTY)
    watch.check(99, EMPTY)
    assert lines == []
    watch.check(100, EMPTY)
    watch.check(150, EMPTY)
    warning, causes, command = lines[0].split("\n")
    assert warning == f"warning: the model has collapsed: {EMPTY} after 100 steps (train.collapse_steps=100)"
    assert causes.startswith("likely causes: ") and "train.lr=0.02" in causes
    run = f"'{tmp_path}/my run'"
    assert command == f"find the cause: ocrctl diagnose model {run}"
    watch.check(200, None)
    watch.check(250, None)
    assert lines[1:] == ["step 200: the predictions differ again"]


def test_zero_turns_it_off(tmp_path: Path) -> None:
    lines: list[str] = []
    CollapseWatch(tmp_path, settings("crnn-tiny", 0), lines.append).check(10_000, EMPTY)
    assert lines == []


@pytest.mark.parametrize(
    ("arch", "cause"), [("crnn-tiny", "output steps"), ("parseq-tiny", "BOS to EOS"), ("dbnet", "cell of the maps")]
)
def test_the_causes_fit_the_kind_of_model(tmp_path: Path, arch: str, cause: str) -> None:
    lines: list[str] = []
    CollapseWatch(tmp_path, settings(arch), lines.append).check(100, EMPTY)
    assert cause in lines[0]


def test_a_run_says_so(word_folder: Path, tmp_path: Path) -> None:
    """Two steps into a run CRNN still outputs blanks only."""
    sets = ["train.max_steps=2", "train.val_every_steps=1", "train.batch_size=2", "data.workers=0", "train.threads=1",
            "log.previews=0", "train.collapse_steps=2"]  # fmt: skip
    tree = {"arch": "crnn-tiny", "data": {"train": [str(word_folder)], "val": str(word_folder), "charset": "ascii94"}}
    lines: list[str] = []
    train(TrainRequest(load_train_settings(None, sets, tree), tmp_path / "run"), lines.append)
    found = [line for line in lines if "collapsed" in line]
    assert len(found) == 1 and "predictions are empty after 2 steps" in found[0]


class Detector(nn.Module):
    """Finds one box, or nothing."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits = torch.full((1, *images.shape[-2:]), -9.0)
        logits[:, 16:32, 16:80] = self.level
        return {"probability": logits}


class Page:
    def __len__(self) -> int:
        return 1

    def page(self, index: int) -> tuple[np.ndarray, PageWords]:
        box = np.array([[8.0, 8.0], [88.0, 8.0], [88.0, 40.0], [8.0, 40.0]])
        words = PageWords(box, np.array([0, 4]), np.array([False]), ["word"], np.zeros((0, 4, 2)), np.array([0, 0]))
        return np.full((64, 128, 3), 90, np.uint8), words


@pytest.mark.parametrize(("level", "said"), [(-9.0, "no box is found on 1 page"), (9.0, None)])
def test_a_detector_without_a_box_has_collapsed(level: float, said: str | None) -> None:
    validation = PageValidation(Page(), detection_card(get_spec("dbnet"), ModelSettings()), side=128)
    validation.begin()
    for batch in validation:
        validation.step(Detector(level), batch)
    assert validation.score().constant == said
