"""The small recognisers from training to the exported file: resumed bit for bit, read, and equal in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ocrctl import Engine
from ocrctl.core.export.run import ExportOptions, export
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.models.backbones.build import BACKBONES
from ocrctl.models.checkpoint import read_checkpoint
from ocrctl.models.registry import get_spec
from ocrctl.models.svtrv2 import model as svtrv2

QUICK = ["train.max_steps=4", "train.val_every_steps=2", "train.log_every_steps=2", "train.batch_size=4",
         "data.workers=0", "data.max_val_samples=4", "data.charset=ascii94", "train.threads=1",
         "train.schedule=constant"]  # fmt: skip


def run(
    arch: str, out: Path, data: Path | None, *sets: str, resume: bool = False, init: Path | None = None
) -> list[str]:
    model = {"init": str(init)} if init else {}
    tree = {"arch": arch, "data": {"train": [str(data)] if data else None}, "model": model}
    lines: list[str] = []
    train(TrainRequest(load_train_settings(None, [*QUICK, *sets], tree), out, resume), lines.append)
    return lines


SMALL = {"svtrv2-tiny": (svtrv2.Stage(32, 1, 0, (1, 1)), svtrv2.Stage(64, 1, 1, (2, 1)), svtrv2.Stage(64, 0, 1, None))}


@pytest.mark.parametrize(
    "arch",
    [
        "attention-crnn-tiny",
        *(pytest.param(arch, marks=pytest.mark.slow) for arch in ("efficient-crnn-tiny", "svtrv2-tiny")),
    ],
)
def test_it_trains_resumes_reads_and_exports(
    arch: str, word_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(svtrv2, "SIZES", SMALL)
    channels = get_spec(arch).channels
    keep = "model.resize=keep"
    whole = tmp_path / "whole"
    run(arch, whole, word_folder, keep)
    run(arch, tmp_path / "parts", word_folder, keep, "train.max_steps=2")
    run(arch, tmp_path / "parts", None, "train.max_steps=4", resume=True)
    first, second = (read_checkpoint(tmp_path / name / "last.ckpt")["state_dict"] for name in ("whole", "parts"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())

    (model,) = export(ExportOptions([str(whole)], tmp_path / "out")).models
    assert not model.failures and max(check.max_abs_diff for check in model.checks) < 1e-3
    path = tmp_path / "out" / "whole.onnx"
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["batch", channels, 32, "4*columns"]
    words = [np.random.default_rng(n).integers(0, 256, (20, 30 * n, 3), dtype=np.uint8) for n in range(1, 6)]
    ours, theirs = Engine.load(whole, device="cpu"), Engine.load(path, device="cpu")
    for _, images, widths in ours.batches([ours.prepare(word) for word in words], batch_size=2):
        np.testing.assert_allclose(ours.logits(images, widths), theirs.logits(images, widths), atol=1e-3)


@pytest.mark.slow
def test_a_recogniser_with_a_backbone_and_strides_trains_and_exports(word_folder: Path, tmp_path: Path) -> None:
    """ImageNet weights choose the backbone, as they do for a detector."""
    strides, out = "2x2,2x1,2x1,2x1,2x1", tmp_path / "run"
    torch.save(BACKBONES["mobilenetv3"]().state_dict(), tmp_path / "imagenet.pth")
    lines = run("crnn-tiny", out, word_folder, f"model.strides={strides}", "train.max_steps=2",
                init=tmp_path / "imagenet.pth")  # fmt: skip
    assert any(line.startswith("backbone: mobilenetv3, ") for line in lines)
    engine = Engine.load(out, device="cpu")
    assert engine.card.model["strides"] == strides and engine.card.channels == 3
    assert engine.logits(np.zeros((2, 32, 100, 3), np.uint8)).shape[:2] == (2, 50)
    (model,) = export(ExportOptions([str(out)], tmp_path / "out")).models
    assert not model.failures
