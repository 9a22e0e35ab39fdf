"""Training of autoregressive recognisers with a feature map: exact resume, images of any size, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ocrctl import Engine
from ocrctl.cli.app import run as cli
from ocrctl.core.runs.folder import set_names
from ocrctl.core.train.run import TrainRequest, load_train_settings, train
from ocrctl.errors import UsageError
from ocrctl.models.checkpoint import read_checkpoint
from ocrctl.training.metrics_rows import read_rows

QUICK = ["train.max_steps=2", "train.val_every_steps=1", "train.log_every_steps=1", "train.batch_size=2",
         "data.workers=0", "data.max_val_samples=2", "train.threads=1", "train.schedule=constant", "log.previews=1",
         "train.precision=32-true"]  # fmt: skip
TINY = ["satrn-tiny", "true2d-tiny"]


def go(arch: str, out: Path, *sets: str, resume: bool = False) -> list[str]:
    lines: list[str] = []
    tree = {} if resume else {"arch": arch}
    settings = load_train_settings(None, sets if resume else [*QUICK, *sets], tree)
    train(TrainRequest(settings, out, resume), lines.append)
    return lines


@pytest.fixture(scope="module", params=TINY)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A run of two steps that keeps the aspect ratio, with dropout."""
    out = tmp_path_factory.mktemp("runs") / request.param
    go(request.param, out, "model.resize=keep")
    return request.param, out


def test_one_and_one_step_equal_two(trained: tuple[str, Path], tmp_path: Path) -> None:
    arch, whole = trained
    go(arch, tmp_path / "parts", "model.resize=keep", "train.max_steps=1")
    go(arch, tmp_path / "parts", "train.max_steps=2", resume=True)
    parts = read_checkpoint(tmp_path / "parts" / "last.ckpt")["state_dict"]
    for name, value in read_checkpoint(whole / "last.ckpt")["state_dict"].items():
        assert torch.equal(value, parts[name]), name


def test_sampling_points_are_logged_and_a_dead_branch_is_named(tmp_path: Path) -> None:
    base = ["train.max_steps=1", "train.optimizer=adamw"]
    go("true2d-tiny", tmp_path / "run", *base)
    (row,) = [row for row in read_rows(tmp_path / "run" / "metrics.csv").rows if row["loss"]]
    assert float(row["weight_mean"]) == 0.25 and float(row["offset_gradient"]) > 0 < float(row["points_outside"])
    frozen = ["train.freeze=decoder.layers.0.cross_attn.offsets", f"model.init={tmp_path / 'run'}"]
    (line,) = [line for line in go("true2d-tiny", tmp_path / "frozen", *base, *frozen) if "has no gradient" in line]
    assert line.startswith("warning: decoder.layers.0.cross_attn.offsets has no gradient")


def test_images_of_any_size_are_read(trained: tuple[str, Path]) -> None:
    """1 pixel wide, 4,000 pixels wide, vertical; each the same alone and beside the others."""
    engine = Engine.load(trained[1], device="cpu")
    rng = np.random.default_rng(0)
    shapes = ((32, 1), (20, 4000), (300, 20), (32, 90), (1, 1))
    given = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    together = [found.text for found in engine.recognize(given)]
    assert together == [engine.recognize([image])[0].text for image in given]


def test_a_fixed_size_starts_from_a_kept_aspect_and_knows_its_decoding(
    trained: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arch, out = trained
    lines = go(arch, tmp_path / "fixed", f"model.init={out}", "train.max_steps=1")
    assert any("trained with model.resize=keep" in line for line in lines)
    with pytest.raises(UsageError, match=f"{arch} does not support 'nar'"):
        go(arch, tmp_path / "nar", "model.decoding=nar")
    image = tmp_path / "word.png"
    import cv2

    cv2.imwrite(str(image), np.full((32, 90, 3), 200, np.uint8))
    assert cli(["predict", str(image), "-m", str(out), "--decoding", "nar"]) == 2
    assert f"{arch} does not support --decoding nar" in capsys.readouterr().err


def test_the_published_warm_up_is_a_default() -> None:
    assert load_train_settings(None, [], {"arch": "true2d"}).train.warmup_steps == 10_000
    assert load_train_settings(None, ["train.warmup_steps=5"], {"arch": "true2d"}).train.warmup_steps == 5
    assert load_train_settings(None, ["train.warmup=0.1"], {"arch": "true2d"}).train.warmup_steps is None


@pytest.mark.parametrize("arch", TINY)
def test_the_learning_rate_is_the_architectures(arch: str) -> None:
    from ocrctl.models.registry import get_spec

    settings = load_train_settings(None, [], {"arch": arch})
    assert settings.train.lr == get_spec(arch).lr and "train.lr" not in set_names(settings)
