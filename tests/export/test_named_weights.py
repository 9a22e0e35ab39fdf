"""`export --precision fp16-weights`: half the size, the same results, and weights that training can read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.model_card import CARD_KEY, recognition_card
from ocrctl.core.train.initialise import initialise
from ocrctl.errors import InputError
from ocrctl.export import named_weights
from ocrctl.export.onnx import to_onnx
from ocrctl.export.parity import probe_images
from ocrctl.models.build import build_model
from ocrctl.models.checkpoint import load_checkpoint
from ocrctl.models.onnx_tensors import read_onnx_tensors
from ocrctl.models.registry import get_spec


def export(model: Path, out: Path, *more: str) -> Path:
    assert run(["export", str(model), "-o", str(out), "--precision", "fp16-weights", *more]) == 0
    (path,) = out.glob("*.onnx")
    return path


@pytest.fixture(scope="module")
def half(tiny_checkpoint: Path, word_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tiny_checkpoint, tmp_path_factory.mktemp("half"), "--verify", str(word_folder))


def test_the_file_is_smaller_and_reads_the_same(half: Path, tiny_onnx: Path, tiny_checkpoint: Path) -> None:
    assert half.stat().st_size < 0.8 * tiny_onnx.stat().st_size
    ours, theirs = Engine.load(half, device="cpu"), Engine.load(tiny_checkpoint, device="cpu")
    assert (ours.backend, ours.card) == ("onnx", theirs.card)
    batch = np.stack(probe_images(theirs, 9, seed=5))
    assert np.abs(ours.logits(batch) - theirs.logits(batch)).max() < 0.1
    assert [one.text for one in ours.decode(ours.logits(batch))] == [
        one.text for one in theirs.decode(theirs.logits(batch))
    ]


def test_every_weight_is_in_it_by_name(half: Path, tiny_checkpoint: Path) -> None:
    (card, given), (own_card, own) = load_checkpoint(half), load_checkpoint(tiny_checkpoint)
    assert card == own_card and given.keys() == own.keys()
    for name, value in own.items():
        rounded = value.half().float() if value.numel() >= 65_536 else value
        assert given[name].dtype == value.dtype and torch.equal(given[name], rounded), name


def test_training_starts_from_it(half: Path, tiny_checkpoint: Path) -> None:
    card, weights = load_checkpoint(half)
    model = build_model(card)
    assert "crnn-tiny, same charset" in initialise(model, card, str(half))
    assert torch.equal(model.state_dict()["head.linear.weight"], weights["head.linear.weight"])


@pytest.mark.slow
def test_exporting_it_again_gives_the_same_file(half: Path, tmp_path: Path) -> None:
    assert export(half, tmp_path).read_bytes() == half.read_bytes()


@pytest.mark.parametrize("arch", ["crnn-tiny", pytest.param("ppocr-rec-tiny", marks=pytest.mark.slow)])
def test_a_model_without_large_tensors_is_read_back(arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of its tensors is stored as float16, so the format is recognised by the names."""
    monkeypatch.setattr(named_weights, "LARGE", 1 << 30)
    card = recognition_card(get_spec(arch, 48), "abc")  # narrow: an LSTM is traced step by step
    model = build_model(card).eval()
    onnx.save(to_onnx(model, card, half_weights=True), tmp_path / "small.onnx")
    assert not any(value.dtype == np.float16 for value in read_onnx_tensors(tmp_path / "small.onnx").tensors.values())
    found, weights = load_checkpoint(tmp_path / "small.onnx")
    assert found == card and weights.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(weights[name], value), name


@pytest.mark.slow
def test_branches_of_training_are_kept_and_the_graph_does_not_use_them(
    tiny_detector: Path, page_folder: Path, tmp_path: Path
) -> None:
    path = export(tiny_detector, tmp_path, "--verify", str(page_folder))
    _, own = load_checkpoint(tiny_detector)
    _, given = load_checkpoint(path)
    assert given.keys() == own.keys() and any(".threshold." in name for name in own)
    graph = onnx.load(path).graph
    used = {name for node in graph.node for name in node.input}
    assert not any(".threshold." in name for name in used)
    pages = [len(found) for found in Engine.load(path, device="cpu").detect([np.full((120, 160, 3), 220, np.uint8)])]
    assert pages == [0]


def test_a_weight_too_large_for_float16_is_refused_before_the_slow_part(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ocrctl.core.export.run.to_onnx", lambda *_, **__: pytest.fail("work was begun"))
    raw = torch.load(tiny_checkpoint, weights_only=True)
    name = max(raw["state_dict"], key=lambda name: raw["state_dict"][name].numel())
    raw["state_dict"][name].view(-1)[3] = 7e4
    torch.save(raw, tmp_path / "large.ckpt")
    assert (
        run(["export", str(tmp_path / "large.ckpt"), "-o", str(tmp_path / "out"), "--precision", "fp16-weights"]) == 3
    )
    assert f"{name.removeprefix('model.')}: holds 7e+04, more than float16 can store" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


def test_an_unknown_precision_is_a_usage_error(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(tiny_checkpoint), "-o", str(tmp_path), "--precision", "fp16-weight"]) == 2
    assert "Did you mean 'fp16-weights'?" in capsys.readouterr().err


def test_other_onnx_files_hold_no_weights_to_start_from(tiny_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folded into the graph") as caught:
        load_checkpoint(tiny_onnx)
    assert "fp16-weights" in str(caught.value.hint)
    proto = onnx.load(tiny_onnx)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "other.onnx")
    assert CARD_KEY not in read_onnx_tensors(tmp_path / "other.onnx").metadata
    with pytest.raises(InputError, match="no model card"):
        load_checkpoint(tmp_path / "other.onnx")
