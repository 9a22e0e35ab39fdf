"""Tall words: read upright and turned to either side where the card says so, by every command and both backends."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.core.export import run as core_export
from ocrctl.core.export.run import ExportOptions, export

RNG = np.random.default_rng(3)
PICTURES = [RNG.integers(0, 256, (height, 24, 3), dtype=np.uint8) for height in (20, 35, 36, 60, 90, 200, 20)]
TALL = [False, False, True, True, True, True, False]  # from 1.5 times the width on


@pytest.fixture(scope="module")
def turning(kept_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = torch.load(kept_checkpoint, weights_only=True)
    card = ModelCard.from_json(state[CARD_KEY])
    assert card.kept is not None
    path = tmp_path_factory.mktemp("turning") / "turning.ckpt"
    torch.save({**state, CARD_KEY: replace(card, kept=replace(card.kept, tall=1.5)).to_json()}, path)
    return path


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tall")
    for number, picture in enumerate(PICTURES):
        cv2.imwrite(str(folder / f"{number}.png"), picture[..., ::-1])
    (folder / "rec_gt.txt").write_text("".join(f"{n}.png\tab\n" for n in range(len(PICTURES))), encoding="utf-8")
    return folder


def by_hand(engine: Engine) -> list[str]:
    """The most confident of three readings of each tall picture."""
    texts = []
    for picture, tall in zip(PICTURES, TALL, strict=True):
        views = [picture, np.rot90(picture), np.rot90(picture, 3)] if tall else [picture]
        texts.append(max(engine.recognize(views, turn=0), key=lambda found: found.confidence).text)
    return texts


def test_the_card_says_how_tall_words_are_read(kept_checkpoint: Path, turning: Path) -> None:
    engine, before = Engine.load(turning, device="cpu"), Engine.load(kept_checkpoint, device="cpu")
    assert [len(engine.prepare_orientations(picture)) for picture in PICTURES] == [3 if tall else 1 for tall in TALL]
    read = [found.text for found in engine.recognize(PICTURES, batch_size=3)]
    upright = [found.text for found in before.recognize(PICTURES)]
    assert read == by_hand(engine) and [found.text for found in before.recognize(PICTURES, turn=1.5)] == read
    assert upright == [found.text for found in engine.recognize(PICTURES, turn=0)] != read
    assert [one == other for one, other in zip(read, upright, strict=True) if one != other] and read[0] == upright[0]


@pytest.mark.slow
def test_predict_eval_and_export_read_as_the_engine(
    turning: Path,
    kept_onnx: Path,
    words: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def same_graph(model: object, card: ModelCard, **options: bool) -> onnx.ModelProto:
        """The graph of the same weights, which tracing again would only repeat, with the card of this model."""
        proto = onnx.load(kept_onnx)
        onnx.helper.set_model_props(proto, {CARD_KEY: card.to_json()})
        return proto

    monkeypatch.setattr(core_export, "to_onnx", same_graph)
    (model,) = export(ExportOptions([str(turning)], tmp_path, str(words))).models
    assert not model.failures and model.checks[-1].samples == len(PICTURES) and model.checks[-1].differing == []
    expected = by_hand(Engine.load(turning, device="cpu"))
    for path in (turning, tmp_path / "turning.onnx"):
        assert Engine.load(path, device="cpu").card.kept.tall == 1.5  # type: ignore[union-attr]
        assert run(["predict", str(words), "-m", str(path), "--format", "jsonl", "--batch-size", "2"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["text"] for row in sorted(rows, key=lambda row: row["path"])] == expected
        labels = "".join(f"{number}.png\t{text}\n" for number, text in enumerate(expected))
        (words / "rec_gt.txt").write_text(labels, encoding="utf-8")  # what it reads, so that all are right
        assert run(["eval", str(path), "-d", str(words), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert {row["summary"]["metrics"]["accuracy"]["value"] for row in result["results"]} == {1.0}
