"""Detectors train end to end on a few small pages: what they leave behind, how they go on, how they refuse."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.core.train.task import TrainResult
from ocrctl.errors import InputError, UsageError
from ocrctl.models.checkpoint import load_checkpoint, read_checkpoint

SETS = ["train.max_steps=4", "train.val_every_steps=2", "train.log_every_steps=2", "train.batch_size=2",
        "data.workers=0", "train.threads=1", "train.schedule=constant", "page.height=96", "page.width=128",
        "page.side=160", "model.backbone=mobilenetv3", "log.previews=2"]  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pages in ICDAR 2015's layout, the last without a word."""
    folder = tmp_path_factory.mktemp("pages")
    for number in range(6):
        image = np.full((120, 160, 3), 200, np.uint8)
        lines = []
        for row in range(2 if number < 5 else 0):
            y = 20 + 50 * row
            cv2.putText(image, "word", (20 + 10 * number, y + 20), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
            left, right = 18 + 10 * number, 90 + 10 * number
            lines.append(f"{left},{y},{right},{y},{right},{y + 26},{left},{y + 26},{'###' if row else 'word'}\n")
        cv2.imwrite(str(folder / f"img_{number}.jpg"), image)
        (folder / f"gt_img_{number}.txt").write_text("".join(lines), encoding="utf-8")
    return folder


def go(out: Path, data: Path | None, *sets: str, arch: str = "dbnet", resume: bool = False) -> TrainResult:
    tree = {} if resume else {"arch": arch, "data": {"train": [str(data)] if data else None}}
    settings = load_train_settings(None, [*([] if resume else SETS), *sets], tree)
    return train(TrainRequest(settings, out, resume), lambda line: None)


@pytest.mark.parametrize("arch", ["dbnet", "dbnetpp", "pan", "craft", "ppocr-det-tiny"])
def test_every_detector_trains_and_is_kept_with_what_reads_it(arch: str, pages: Path, tmp_path: Path) -> None:
    sets = ["model.backbone=auto", "train.max_steps=2"] if arch in ("craft", "ppocr-det-tiny") else []
    result = go(tmp_path / "run", pages, *sets, arch=arch)
    card, _ = load_checkpoint(tmp_path / "run" / "last.ckpt")
    assert card.task == "detection" and card.preprocessing == "page" and card.model["side"] == 160
    assert card.thresholds and (card.height, card.width) == (96, 128)
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert 0.0 <= float(rows[-1]["val_hmean"]) <= 1.0
    assert result.last.keys() >= {"val_hmean", "val_precision", "val_recall", "loss"}
    assert len((tmp_path / "run" / "val_split.txt").read_text().splitlines()) == 1
    assert list((tmp_path / "run" / "previews").glob("*.png"))


def test_two_and_two_steps_equal_four(pages: Path, tmp_path: Path) -> None:
    go(tmp_path / "whole", pages)
    go(tmp_path / "halves", pages, "train.max_steps=2")
    go(tmp_path / "halves", pages, "train.max_steps=4", resume=True)
    whole, halves = (read_checkpoint(tmp_path / name / "last.ckpt")["state_dict"] for name in ("whole", "halves"))
    assert all(torch.equal(value, halves[name]) for name, value in whole.items())


def test_without_data_it_trains_on_synthetic_pages(tmp_path: Path) -> None:
    result = go(tmp_path / "run", None, "train.max_steps=1", "data.max_val_samples=1", "page.height=640",
                "page.width=640", "train.batch_size=1")  # fmt: skip
    assert result.eval_spec == "synth:pages"


def test_wrong_data_is_refused_before_anything_is_written(pages: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="synth:words: expected pages"):
        go(tmp_path / "run", None, "data.train=['synth:words']")
    (tmp_path / "rec_gt.txt").write_text("a.png\tcat\n", encoding="utf-8")
    with pytest.raises(UsageError, match="holds word images, expected pages"):
        go(tmp_path / "run", tmp_path / "rec_gt.txt")
    (tmp_path / "rec_gt.txt").unlink()
    (tmp_path / "Label.txt").write_text(
        "".join(f'{n}.jpg\t[{{"transcription": "a", "points": [[1,1],[9,1],[9,9],[1,9]]}}]\n' for n in "ab"), "utf-8"
    )
    with pytest.raises(InputError, match=r"2 errors on 2 of 2 pages, I001 missing x2"):
        go(tmp_path / "run", tmp_path)
    assert not (tmp_path / "run").exists()
