"""`train.cache_features`: the same run with and without, and an exact resume."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import ocrctl.training.feature_cache as feature_cache
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import UsageError
from ocrctl.models.checkpoint import read_checkpoint

SETS = ["train.batch_size=3", "data.workers=0", "train.threads=1", "train.schedule=constant", "log.previews=0",
        "train.val_every_steps=8", "train.log_every_steps=1", "data.augment=0", "page.augment=0", "page.height=64",
        "page.width=96", "page.side=96", "train.freeze=encoder", "data.general=none"]  # fmt: skip
WORDS = ["cat", "dog", "sun", "hat", "pen", "cup", "map", "fox", "owl", "bee"]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    for number, word in enumerate(WORDS):
        image = np.full((32, 60 + 9 * number, 3), 255, np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    labels = "".join(f"{number}.png\t{word}\n" for number, word in enumerate(WORDS))
    (folder / "rec_gt.txt").write_text(labels, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for number in range(6):
        image = np.full((64, 96, 3), 255, np.uint8)
        cv2.putText(image, WORDS[number], (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
        cv2.imwrite(str(folder / f"img_{number}.png"), image)
        (folder / f"gt_img_{number}.txt").write_text("20,20,70,20,70,44,20,44,cat\n", encoding="utf-8")
    return folder


def run(out: Path, data: Path, base: Path | None, *sets: str, arch: str = "crnn-tiny") -> dict[str, torch.Tensor]:
    resume = (out / "config.toml").exists()
    tree = {"arch": arch, "data": {"train": [str(data)], "val": str(data)}}
    if base is not None:
        tree["model"] = {"init": str(base)}  # type: ignore[dict-item]
    settings = load_train_settings(None, [*([] if resume else SETS), *sets], {} if resume else tree)
    train(TrainRequest(settings, out, resume), lambda line: None)
    found: dict[str, torch.Tensor] = read_checkpoint(out / "last.ckpt")["state_dict"]
    return found


def losses(out: Path) -> list[str]:
    with (out / "metrics.csv").open(newline="") as file:
        return [row["loss"] for row in csv.DictReader(file) if row["loss"]]


def initial(arch: str, data: Path, tmp_path: Path, *sets: str) -> Path:
    run(tmp_path / "base", data, None, "train.max_steps=1", "train.freeze=0", *sets, arch=arch)
    return tmp_path / "base" / "last.ckpt"


@pytest.mark.parametrize("arch", ["crnn-tiny", "dbnet"])
def test_losses_and_weights_are_the_same_bit_for_bit(
    arch: str, words: Path, pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pages if arch == "dbnet" else words
    base = initial(arch, data, tmp_path)
    steps = []
    original = feature_cache._run
    monkeypatch.setattr(feature_cache, "_run", lambda *given: (steps.append(1), original(*given))[1])
    kept = run(tmp_path / "kept", data, base, "train.max_steps=8", arch=arch)
    with_validation = len(steps)
    assert with_validation < 8 + (7 if arch == "dbnet" else 1)  # the last epochs come from memory
    plain = run(tmp_path / "plain", data, base, "train.max_steps=8", "train.cache_features=false", arch=arch)
    assert losses(tmp_path / "kept") == losses(tmp_path / "plain")
    assert all(torch.equal(value, plain[name]) for name, value in kept.items())
    run(tmp_path / "cut", data, base, "train.max_steps=5", arch=arch)
    cut = run(tmp_path / "cut", data, base, "train.max_steps=8", arch=arch)
    assert all(torch.equal(value, cut[name]) for name, value in kept.items())


@pytest.mark.parametrize(
    "arch", ["crnn-tiny", "ppocr-rec-tiny", pytest.param("crnn-vgg-small", marks=pytest.mark.slow)]
)
def test_with_kept_aspect_a_resumed_run_is_exact_and_losses_are_equal(arch: str, words: Path, tmp_path: Path) -> None:
    sets = ("model.resize=keep",)
    base = initial(arch, words, tmp_path, *sets)
    kept = run(tmp_path / "kept", words, base, "train.max_steps=8", *sets, arch=arch)
    run(tmp_path / "plain", words, base, "train.max_steps=8", "train.cache_features=false", *sets, arch=arch)
    one, two = ([float(loss) for loss in losses(tmp_path / name)] for name in ("kept", "plain"))
    assert one == pytest.approx(two, rel=1e-4) and len(one) == 8
    run(tmp_path / "cut", words, base, "train.max_steps=5", *sets, arch=arch)
    cut = run(tmp_path / "cut", words, base, "train.max_steps=8", arch=arch)
    assert all(torch.equal(value, cut[name]) for name, value in kept.items())


def test_what_has_no_features_of_its_own_is_refused(words: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.augment must be 0"):
        run(tmp_path / "one", words, tiny_checkpoint, "train.cache_features=true", "data.augment=0.5")
    with pytest.raises(UsageError, match="must freeze the whole encoder"):
        run(tmp_path / "two", words, tiny_checkpoint, "train.cache_features=true", "train.freeze=2")


def test_flipped_pages_have_no_features_of_their_own(pages: Path, tmp_path: Path) -> None:
    base = initial("dbnet", pages, tmp_path)
    with pytest.raises(UsageError, match=r"page\.flip must be 0"):
        run(tmp_path / "one", pages, base, "train.cache_features=true", "page.flip=0.5", arch="dbnet")


def test_beyond_its_limit_samples_are_computed(words: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", words, tiny_checkpoint, "train.max_steps=8", "train.cache_features=false")
    cache = feature_cache.FeatureCache
    original = cache.__init__
    try:
        cache.__init__ = lambda self, model, locate, limit: original(self, model, locate, 40_000)  # type: ignore[method-assign]
        kept = run(tmp_path / "kept", words, tiny_checkpoint, "train.max_steps=8")
    finally:
        cache.__init__ = original  # type: ignore[method-assign]
    assert all(torch.equal(value, kept[name]) for name, value in plain.items())
