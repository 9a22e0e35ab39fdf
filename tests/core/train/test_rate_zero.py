"""A fine-tuning step at learning rate 0 changes nothing, whatever the architecture: neither weights nor statistics."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import CARD_KEY, recognition_card
from ocrctl.config.settings import ModelSettings
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.models.build import build_model
from ocrctl.models.checkpoint import read_checkpoint
from ocrctl.models.registry import get_spec, specs

SETS = ["train.lr=0", "train.max_steps=1", "train.batch_size=2", "data.workers=0", "data.max_val_samples=1",
        "log.previews=0", "train.threads=1", "train.weight_decay=0.1", "page.height=64", "page.width=64",
        "page.side=64", "train.warmup=0"]  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    labels = []
    for number, word in enumerate(["cat", "dog", "sun", "hat"]):
        image = np.full((32, 90, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        labels.append(f"{number}.png\t{word}\n")
    (folder / "rec_gt.txt").write_text("".join(labels), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for number in range(4):
        image = np.full((64, 96, 3), 255, np.uint8)
        cv2.putText(image, "cat", (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"img_{number}.png"), image)
        (folder / f"gt_img_{number}.txt").write_text("20,20,70,20,70,44,20,44,cat\n", encoding="utf-8")
    return folder


LARGE = {
    "parseq",
    "satrn",
    "true2d",
    "ppocr-rec-medium",
    "ppocr-det-medium",
}  # smaller sizes of theirs are tried as well
EVERY = [
    pytest.param(name, "adamw", marks=pytest.mark.slow if name in LARGE else ())
    for name, spec in specs().items()
    if not spec.plugin
]


@pytest.mark.parametrize(("arch", "optimizer"), [*EVERY, ("crnn-tiny", "muon"), ("dbnet", "muon")])
def test_a_step_at_rate_zero_changes_nothing(
    arch: str, optimizer: str, words: Path, pages: Path, tmp_path: Path
) -> None:
    spec = get_spec(arch)
    if spec.task == "detection":
        card = detection_card(spec, ModelSettings(), height=64, width=64, side=64)
    else:
        card = recognition_card(spec, "acdoghnstu")
    torch.manual_seed(0)
    base = {f"model.{name}": value for name, value in build_model(card).state_dict().items()}
    torch.save({CARD_KEY: card.to_json(), "state_dict": base}, tmp_path / "base.ckpt")
    (tmp_path / "charset.txt").write_text("acdoghnstu\n", encoding="utf-8")
    data = {"train": [str(pages if spec.task == "detection" else words)]}
    if spec.task == "recognition":
        data["charset"] = str(tmp_path / "charset.txt")
    tree = {"arch": arch, "data": data, "model": {"init": str(tmp_path / "base.ckpt")}}
    settings = load_train_settings(None, [*SETS, f"train.optimizer={optimizer}"], tree)
    lines: list[str] = []
    train(TrainRequest(settings, tmp_path / "run"), lines.append)
    after = read_checkpoint(tmp_path / "run" / "last.ckpt")["state_dict"]
    assert after.keys() == base.keys()
    assert [name for name in base if not torch.equal(after[name], base[name])] == []
    normalised = {"crnn", "dbnet", "pan", "craft"}
    assert any("running_mean" in name for name in base) or spec.family not in normalised
