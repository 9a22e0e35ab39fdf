"""Checkpoints, ONNX files and run folders of version 0.1.0 load, and give the outputs that they gave there."""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ocrctl.cli.app import run
from ocrctl.inference.engine import Engine

FILES = Path(__file__).parents[1] / "fixtures" / "v0_1"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FILES / "expected.json").read_text(encoding="utf-8"))
NOISE = np.random.default_rng(5).integers(0, 256, (3, 8, 24, 3), np.uint8)


def unpacked(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(lzma.decompress((FILES / f"{name}.xz").read_bytes()))
    return path


def words() -> list[np.ndarray]:
    sizes = [(100 + 28 * (i % 2), 32) for i in range(len(NOISE))]
    return [cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC) for noise, size in zip(NOISE, sizes, strict=True)]


def expect_outputs(outputs: np.ndarray, expected: dict[str, Any]) -> None:
    """A few numbers that any change of the arithmetic moves."""
    values = np.asarray(outputs, np.float64)
    assert list(values.shape) == expected["shape"]
    probe = np.cos(np.arange(values.size) * 0.7310).reshape(values.shape)
    tolerance = {"rel": 1e-3, "abs": 1e-4 * expected["max"]}
    assert values.mean() == pytest.approx(expected["mean"], **tolerance)
    assert values.std() == pytest.approx(expected["std"], **tolerance)
    assert (values * probe).mean() == pytest.approx(expected["probe"], **tolerance)
    assert np.abs(values).max() == pytest.approx(expected["max"], **tolerance)


@pytest.mark.parametrize(
    "name",
    ["crnn-tiny.ckpt", "crnn.ckpt", "parseq-tiny.ckpt", "dbnet.ckpt", "dbnetpp.ckpt", "pan.ckpt", "craft.ckpt",
     "crnn-tiny.onnx", "dbnet.onnx"],
)  # fmt: skip
def test_old_models_give_the_same_outputs(name: str, tmp_path: Path) -> None:
    engine = Engine.load(unpacked(name, tmp_path), "cpu", 1)
    expected = EXPECTED[Path(name).stem]
    if engine.detects:
        page = engine.prepare_page(cv2.resize(NOISE[0], (96, 64), interpolation=cv2.INTER_CUBIC))
        for head, values in engine.maps([page])[0].items():
            expect_outputs(values, expected[head])
    else:
        expect_outputs(engine.logits(np.stack([engine.prepare(word) for word in words()])), expected["logits"])
        # Version 0.1 gave texts that do not end a character more than the maximum length.
        longest = engine.card.max_label_length
        assert [read.text for read in engine.recognize(words())] == [text[:longest] for text in expected["texts"]]


def test_an_old_graph_of_an_autoregressive_model_reads_as_its_checkpoint(tmp_path: Path) -> None:
    """It was exported to read all at once, which a checkpoint does when asked."""
    graph = Engine.load(unpacked("parseq-tiny.onnx", tmp_path), "cpu", 1)
    checkpoint = Engine.load(unpacked("parseq-tiny.ckpt", tmp_path), "cpu", 1, decoding="nar")
    batch = np.stack([graph.prepare(word) for word in words()])
    assert np.abs(graph.logits(batch) - checkpoint.logits(batch)).max() < 1e-3


def test_an_old_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    shutil.copytree(FILES / "run", folder)
    (folder / "last.ckpt.xz").unlink()
    (folder / "last.ckpt").write_bytes(lzma.decompress((FILES / "run" / "last.ckpt.xz").read_bytes()))
    assert run(["train", "--resume", "-o", str(folder), "--set", "train.max_steps=6"]) == 0, capsys.readouterr().err
    steps = [line.split(",")[0] for line in (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert steps[:3] == ["2", "4", "4"] and steps[-1] == "6"
