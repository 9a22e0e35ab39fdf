"""Autoregressive recognisers with a feature map as ONNX: the loop in the graph, batch and width free, equal strings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.model_card import CARD_KEY, ModelCard
from ocrctl.config.model_spec import ModelSpec
from ocrctl.data.datasets.recognition import resize_for
from ocrctl.data.images.decode import decode
from ocrctl.data.images.resize_word import pad_words
from ocrctl.export.parity import probe_images
from ocrctl.models.build import build_model
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import get_spec

LONGEST = 2  # characters: the unrolled loop has one step more, and the exporter's time grows with it
LABELS = [[9, 1, 2, 0], [9, 3, 0, 10], [9, 4, 5, 0], [9, 6, 0, 10], [9, 7, 8, 0], [9, 1, 0, 10]]  # [BOS] is 9
TINY = ["satrn-tiny"]


def _learn(model: OCRModel, spec: ModelSpec, folder: Path) -> None:
    """Train for a moment, so that texts and their lengths differ from image to image."""
    words = [decode(path.read_bytes(), path.name) for path in sorted(folder.glob("*.png"))[: len(LABELS)]]
    inputs, named = [resize_for(word, spec) for word in words], {}
    if spec.keeps_aspect and spec.kept is not None:
        batch, widths = pad_words(inputs, spec.kept)
        named["widths"] = torch.from_numpy(widths)
    else:
        batch = np.stack(inputs)
    images, targets = torch.from_numpy(batch).permute(0, 3, 1, 2), torch.tensor(LABELS)
    optimizer = torch.optim.AdamW(model.train().parameters(), 3e-3)
    for _ in range(25):
        optimizer.zero_grad()
        logits = model(images, targets, **named)["logits"]
        functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=10).backward()
        optimizer.step()


@pytest.mark.parametrize("resize", ["keep"])
@pytest.mark.parametrize("arch", TINY)
def test_the_graph_reads_what_the_checkpoint_reads(
    arch: str, resize: str, tmp_path: Path, word_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = get_spec(arch).with_resize("keep" if resize == "keep" else "stretch")
    card = ModelCard(arch, "recognition", "abcdefgh", spec.input_height, spec.input_width, spec.channels, LONGEST,
                     preprocessing=spec.resize, kept=spec.kept if resize == "keep" else None)  # fmt: skip
    torch.manual_seed(1)
    model = build_model(card)
    _learn(model, spec, word_folder)
    path = tmp_path / "runs" / "ar" / "best.ckpt"
    path.parent.mkdir(parents=True)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({CARD_KEY: card.to_json(), "state_dict": state}, path)

    assert run(["export", str(path), "-o", str(tmp_path / "out"), "--verify", str(word_folder), "--json", "-q"]) == 0
    (written,) = json.loads(capfd.readouterr().out)["models"]
    assert all(check["max_abs_diff"] < 1e-3 and not check["differing"] for check in written["checks"])
    theirs, ours = Engine.load(tmp_path / "out", device="cpu"), Engine.load(path, device="cpu")
    assert theirs.backend == "onnx"
    given = probe_images(ours, 40, seed=3)
    texts = [result.text for result in ours.recognize_prepared(given)]
    assert texts == [result.text for result in theirs.recognize_prepared(given)]
    assert texts == [theirs.recognize_prepared([image])[0].text for image in given]
    assert len(set(texts)) > 1  # else equality would say little
    assert resize == "stretch" or len({np.shape(image)[1] for image in given}) > 5
