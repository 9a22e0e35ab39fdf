"""A recogniser is trained on what inference shows it: the same pixels, and the same number of output steps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ocrctl import Engine
from ocrctl.core.train.recognition import prepare
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.data.datasets.loader import to_tensors
from ocrctl.models.build import build_model
from ocrctl.models.ocr_model import NEVER
from ocrctl.models.registry import get_spec

SIZES = [(20, 60), (40, 400), (31, 33), (64, 2000), (18, 17)]  # rows and columns of the words
SETS = ["train.max_steps=1", "train.batch_size=5", "train.device=cpu", "train.threads=1", "data.workers=0",
        "data.augment=0", "log.previews=0"]  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    draw = np.random.default_rng(1)
    for number, size in enumerate(SIZES):
        cv2.imwrite(str(folder / f"{number}.png"), draw.integers(0, 256, (*size, 3), dtype=np.uint8))
    lines = (f"{number}.png\ta\n" for number in range(len(SIZES)))
    (folder / "rec_gt.txt").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("arch", "resize"),
    [
        ("crnn-tiny", "stretch"),
        ("crnn-tiny", "keep"),
        ("ppocr-rec-tiny", "keep"),
        ("svtrv2-tiny", "keep"),
        ("parseq-tiny", "stretch"),
        ("satrn-tiny", "keep"),
    ],
)
def test_training_and_inference_see_the_same_pixels_and_steps(
    arch: str, resize: str, words: Path, tmp_path: Path
) -> None:
    tree = {"arch": arch, "data": {"train": [str(words)], "val": str(words)}}
    settings = load_train_settings(None, [*SETS, f"model.resize={resize}"], tree)
    train(TrainRequest(settings, tmp_path / "run"), lambda line: None)
    engine = Engine.load(tmp_path / "run", device="cpu")
    model = build_model(engine.card)
    task = prepare(settings, get_spec(arch, settings.model.width, resize), lambda line: None)
    batch = to_tensors(task.samples.__getitems__(range(len(SIZES))))
    images = batch["images"].permute(0, 2, 3, 1).numpy()
    for row in range(len(SIZES)):
        number = task.samples.locate(row)[0][1]
        image = cv2.cvtColor(cv2.imread(str(words / f"{number}.png")), cv2.COLOR_BGR2RGB)
        shown = engine.prepare(image)
        width = images.shape[2] if engine.card.kept is None else int(batch["widths"][row])
        assert np.array_equal(images[row, :, :width], shown), SIZES[number]
        if engine.card.kept is not None and task.spec.tokenizer == "ctc":
            ((_, alone, widths),) = engine.batches([shown])
            free = int((engine.logits(alone, widths)[0, :, 1] > NEVER / 2).sum())  # the others are certain blanks
            assert free == int(model.steps_of(batch["widths"])[row]), SIZES[number]
