"""A model with values that are not finite answers nothing: each command that reads one refuses it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.model_card import CARD_KEY
from ocrctl.errors import InputError
from ocrctl.models.build import build_trained
from ocrctl.models.checkpoint import load_checkpoint, load_initial
from ocrctl.models.finite import names_not_finite, refuse_not_finite_outputs
from ocrctl.models.finite_arrays import not_finite


def spoilt(source: Path, target: Path, name: str, value: float) -> Path:
    """A copy of a checkpoint, one number of one weight replaced."""
    raw = torch.load(source, weights_only=True)
    raw["state_dict"] = {key: tensor.clone() for key, tensor in raw["state_dict"].items()}
    raw["state_dict"][name].view(-1)[0] = value
    torch.save(raw, target)
    return target


def spoilt_onnx(source: Path, target: Path, name: str, value: float, *, as_floats: bool = False) -> Path:
    model = onnx.load(source)
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    array = numpy_helper.to_array(tensor).copy()
    array.flat[-1] = value
    if as_floats:
        tensor.ClearField("raw_data")
        tensor.float_data.extend(array.ravel().tolist())
    else:
        tensor.CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, target)
    return target


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_of_a_checkpoint(tiny_checkpoint: Path, word_folder: Path, tmp_path: Path, value: float) -> None:
    bad = spoilt(tiny_checkpoint, tmp_path / "bad.ckpt", "model.encoder.blocks.0.weight", value)
    for read in (load_checkpoint, load_initial, Engine.load):
        with pytest.raises(InputError, match=r"bad.ckpt: 1 of \d+ weights hold NaN or infinite values, first encoder"):
            read(bad)
    assert load_checkpoint(bad, finite=False)[0].arch == "crnn-tiny"
    image = str(next(word_folder.glob("*.png")))
    assert run(["predict", image, "-m", str(bad)]) == 3
    assert run(["eval", str(bad), "-d", str(word_folder)]) == 3
    assert run(["export", str(bad), "-o", str(tmp_path / "out")]) == 3
    assert run(["train", "crnn-tiny", "-d", "synth:words", "--from", str(bad), "-o", str(tmp_path / "run")]) == 3
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("as_floats", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_of_an_onnx_file(
    tiny_onnx: Path, word_folder: Path, tmp_path: Path, value: float, as_floats: bool
) -> None:
    """ONNX Runtime's ReLU gives 0 for NaN: the logits of this model are finite."""
    name = "model.encoder.blocks.0.weight"
    bad = spoilt_onnx(tiny_onnx, tmp_path / "bad.onnx", name, value, as_floats=as_floats)
    with pytest.raises(InputError, match=f"bad.onnx: its weights {name} hold 1 (NaN|infinite value)"):
        Engine.load(bad)
    assert run(["predict", str(next(word_folder.glob("*.png"))), "-m", str(bad)]) == 3
    assert run(["eval", str(bad), "-d", str(word_folder)]) == 3


def test_infinite_constants_of_a_graph_are_fine(tiny_onnx: Path, tmp_path: Path) -> None:
    """Attention masks hold them; a NaN is nothing that a graph needs."""
    model = onnx.load(tiny_onnx)
    for number, value in enumerate((-np.inf, np.nan)):
        model.graph.initializer.append(numpy_helper.from_array(np.full(3, value, np.float32), f"mask{number}"))
        onnx.save(model, tmp_path / f"{number}.onnx")
    Engine.load(tmp_path / "0.onnx")
    with pytest.raises(InputError, match="its weights mask1 hold 3 NaN"):
        Engine.load(tmp_path / "1.onnx")


def test_large_weights_are_not_infinite_ones() -> None:
    """Their sum, by which most tensors are passed, is."""
    values = {"large": torch.full((9,), 3e38), "bad": torch.tensor([1.0, torch.nan]), "ids": torch.tensor([7]),
              "half": torch.full((9,), 6e4, dtype=torch.float16), "empty": torch.zeros(0)}  # fmt: skip
    assert names_not_finite(values) == ["bad"]


def test_logits(tiny_checkpoint: Path, word_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights may be finite and too large."""
    engine = Engine.load(tiny_checkpoint, device="cpu")
    outputs = engine._backend.outputs
    monkeypatch.setattr(
        engine._backend, "outputs", lambda batch: {"logits": outputs(batch)["logits"] * np.float32("inf")}
    )
    with pytest.raises(InputError, match=r"best.ckpt: the model's logits hold \d+ infinite values"):
        engine.recognize([np.random.default_rng(0).integers(0, 256, (32, 100, 3), dtype=np.uint8)])
    image = str(next(word_folder.glob("*.png")))
    assert run(["predict", image, "-m", str(tiny_checkpoint), "--device", "cpu"]) == 3


@pytest.mark.parametrize("field", ["mean", "std"])
def test_a_card(tiny_checkpoint: Path, tmp_path: Path, field: str) -> None:
    raw = torch.load(tiny_checkpoint, weights_only=True)
    raw[CARD_KEY] = json.dumps({**json.loads(raw[CARD_KEY]), field: float("nan")})
    torch.save(raw, tmp_path / "bad.ckpt")
    with pytest.raises(InputError, match=f"{field} should be a finite number"):
        Engine.load(tmp_path / "bad.ckpt")


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 1e30), (np.float16, 65504), (np.float64, 1e300)])
def test_values_are_counted_in_one_pass(dtype: type[np.floating], large: float) -> None:
    assert not_finite(np.full((3, 4), large, dtype)) == ""  # their squares are not finite, they are
    assert not_finite(np.full((3, 4), -large, dtype)) == "" and not_finite(np.zeros(0, dtype)) == ""
    values = np.array([[1, np.nan, np.inf], [-np.inf, np.nan, 0]], dtype)
    assert not_finite(values) == "2 NaN and 2 infinite values"
    assert not_finite(values, infinite=False) == "2 NaN"
    assert not_finite(values[:, 2:], infinite=False) == "" and not_finite(values[:, 2:]) == "1 infinite value"


def test_a_negative_variance_is_found_before_training_and_export(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finite weights, outputs that are not; training statistics would hide it until the first validation."""
    raw = torch.load(tiny_checkpoint, weights_only=True)
    name = next(name for name in raw["state_dict"] if name.endswith("running_var"))
    bad = spoilt(tiny_checkpoint, tmp_path / "bad.ckpt", name, -1.0)
    out = tmp_path / "run"
    for command in (
        ["train", "crnn-tiny", "-d", "synth:words", "--from", str(bad), "-o", str(out), "--set", "data.workers=0"],
        ["export", str(bad), "-o", str(tmp_path / "bundle")],
    ):
        assert run(command) == 3
        log = capsys.readouterr().err
        assert f"error: {bad}: the model's logits hold " in log and "although its weights are finite" in log
        assert "ocrctl-tmp" not in log
    assert not out.exists()


def test_the_state_of_a_checked_model_is_untouched(tiny_checkpoint: Path) -> None:
    card, state = load_checkpoint(tiny_checkpoint)
    model = build_trained(card, state, tiny_checkpoint).train()
    random, before = torch.get_rng_state(), {name: value.clone() for name, value in model.state_dict().items()}
    refuse_not_finite_outputs(model, card, tiny_checkpoint)
    assert model.training and torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
