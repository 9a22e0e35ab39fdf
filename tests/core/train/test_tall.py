"""model.tall in training: vertical words are turned, single letters are not, validation reads as prediction does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ocrctl.core.streams import choose_charset
from ocrctl.core.train import orient
from ocrctl.core.train.recognition import RecognitionTask, prepare
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.inference.engine import Recognition
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.models.registry import get_spec

SETS = ["model.resize=keep", "train.batch_size=2", "data.workers=0", "data.augment=0", "train.threads=1",
        "train.device=cpu"]  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wide word, and tall ones: two whose upper half is white, a letter, and a black one."""
    folder = tmp_path_factory.mktemp("words")
    for number, (height, width) in enumerate([(32, 64), (64, 32), (96, 32), (64, 32), (64, 32)]):
        image = np.zeros((height, width, 3), np.uint8)
        image[: height // 2] = 255 if number != 4 else 0
        cv2.imwrite(str(folder / f"{number}.png"), image)
    labels = ["wide", "down", "lo", "i", "zz"]
    lines = "".join(f"{number}.png\t{label}\n" for number, label in enumerate(labels))
    (folder / "rec_gt.txt").write_text(lines, encoding="utf-8")
    return folder


def task(words: Path, *sets: str) -> tuple[RecognitionTask, list[str]]:
    data = {"train": [str(words)], "val": str(words)}
    settings = load_train_settings(None, [*SETS, *sets], {"arch": "crnn-tiny", "data": data})
    spec = get_spec("crnn-tiny", None, "keep", settings.model.tall)
    lines: list[str] = []
    return prepare(settings, spec, lines.append), lines


class Base:
    """A --from model that reads `down` where the white end is on the left, `lo` where it is on the right."""

    seen: ClassVar[list[int]] = []

    def recognize(self, images: list[np.ndarray], turn: float) -> list[Recognition]:
        assert turn == 0
        self.seen.append(len(images))
        found = [float(image[0, 0].mean()) - float(image[0, -1].mean()) for image in images]
        return [Recognition("down" if one > 0 else "lo" if one < 0 else "?", 0.5) for one in found]


def test_training_turns_tall_words_as_the_base_reads_them(words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orient.Engine, "load", lambda *given, **named: Base())
    monkeypatch.setattr("ocrctl.core.train.recognition._charset", lambda *given: choose_charset(*given[:2]))
    (found, lines), (before, _) = task(words, "model.tall=turn", "model.init=base"), task(words)
    said = "of 3 tall words of several characters 1 stay upright, 1 are turned to the left, 1 to the right, as the"
    assert any(said in line for line in lines) and Base.seen == [9]
    assert found.samples.order is not None and before.samples.order is not None
    shown = {label: image for image, label in map(found.samples.sample, range(10))}
    upright = {label: image for image, label in map(before.samples.sample, range(10))}
    widths = {label: image.shape[1] for label, image in shown.items()}
    assert widths == {"wide": 64, "down": 64, "lo": 96, "zz": 16, "i": 16}
    assert [upright[label].shape[1] for label in ("wide", "down", "lo", "zz", "i")] == [64, 16, 11, 16, 16]
    assert shown["down"][:, 0].mean() > 200 > 50 > shown["down"][:, -1].mean()  # the top is now on the left
    assert shown["lo"][:, 0].mean() < 50 < 200 < shown["lo"][:, -1].mean()
    for position in range(10):
        assert found.samples.sample(position)[0].shape[1] == found.samples.width(found.samples.order.draw(position))


def test_without_a_base_tall_words_are_left_out(words: Path) -> None:
    found, lines = task(words, "model.tall=turn")
    assert any("3 tall words of several characters are left out, as no --from model" in line for line in lines)
    assert {found.samples.label(position) for position in range(8)} == {"wide", "i"}


class LeftIsWhite(nn.Module):
    """Read `A` from every image, the surer the whiter its first columns are against its last ones."""

    def forward(self, images: Tensor, widths: Tensor) -> dict[str, Tensor]:
        logits = torch.zeros(len(images), 2, 63)
        for row, (image, width) in enumerate(zip(images.float(), widths.tolist(), strict=True)):
            number = 1 + width // 32  # another character for each width
            logits[row, 0, number] = 5 + (image[..., 0].mean() - image[..., width - 1].mean()) / 100
            logits[row, 1, 0] = 9
        return {"logits": logits}


def test_validation_takes_the_most_confident_orientation(words: Path) -> None:
    found, _ = task(words, "model.tall=turn")
    images, labels = found.validation_arrays()
    assert {label: [view.shape[1] for view in views] for label, views in zip(labels, images, strict=True)} == {
        "wide": [64], "down": [16, 64, 64], "lo": [11, 96, 96], "i": [16, 64, 64], "zz": [16, 64, 64],
    }  # fmt: skip
    charset = found.card.charset
    settings = load_train_settings(None, [*SETS], {"arch": "crnn-tiny"})
    validation = found.validation(settings)
    validation.begin()
    for batch in validation:
        validation.step(LeftIsWhite(), batch)  # type: ignore[arg-type]
    texts = dict(zip(labels, validation._in_order(), strict=True))  # type: ignore[attr-defined]
    assert texts == {"wide": charset[2], "down": charset[2], "lo": charset[3], "i": charset[2], "zz": charset[0]}
    assert validation.score().row["val_exact"] == 0 and validation.sheet(4).ndim == 3


def test_a_resumed_run_reads_tall_words_as_it_began(words: Path, tmp_path: Path) -> None:
    def go(steps: int, *sets: str) -> float:
        fresh = not (tmp_path / "config.toml").exists()
        data = {"train": [str(words)], "val": str(words)}
        settings = load_train_settings(
            None, [f"train.max_steps={steps}", *sets, *(SETS if fresh else [])],
            {"arch": "crnn-tiny", "data": data} if fresh else {},
        )  # fmt: skip
        train(TrainRequest(settings, tmp_path, not fresh), lambda line: None)
        kept = load_checkpoint(tmp_path / "last.ckpt")[0].kept
        assert kept is not None
        return kept.tall

    assert go(1) == 0.0
    with pytest.MonkeyPatch.context() as patch:  # a release in which the default of the architecture is to turn
        import ocrctl.models.registry as registry

        plain = registry.get_spec

        def turning(name: str, *given: object, **named: object) -> object:
            spec = plain(name, *given, **named)  # type: ignore[arg-type]
            return replace(spec, kept=replace(spec.kept, tall=1.5)) if spec.kept else spec

        patch.setattr(registry, "get_spec", turning)
        assert go(2) == 0.0
