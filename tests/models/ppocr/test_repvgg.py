"""Branches of RepVGG for training: the folded model before the first step, one folded kernel after it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ocrctl.cli.app import run
from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard, recognition_card
from ocrctl.config.settings import ModelSettings
from ocrctl.models.build import build_model
from ocrctl.models.checkpoint import load_checkpoint, read_checkpoint, write_checkpoint
from ocrctl.models.ppocr.repvgg import RepVGGConv, fold
from ocrctl.models.registry import get_spec
from ocrctl.text.charset import ASCII94


def cards(unfold: bool) -> list[ModelCard]:
    options = {"unfold": True} if unfold else {}
    return [
        recognition_card(get_spec("ppocr-rec-tiny"), "abc", model={"dropout": 0.0, **options}),
        detection_card(get_spec("ppocr-det-tiny"), ModelSettings(**options)),
    ]


def inputs(card: ModelCard) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    if card.task == "detection":
        return torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8), {}
    return torch.randint(0, 256, (2, 3, 48, 104), dtype=torch.uint8), {"widths": torch.tensor([64, 90])}


@pytest.mark.parametrize("which", [0, 1], ids=["recogniser", "detector"])
def test_an_unfolded_model_equals_the_folded_one_and_folds_to_one_kernel(which: int, tmp_path: Path) -> None:
    folded = build_model(cards(False)[which]).eval()
    unfolded = build_model(cards(True)[which]).eval()
    branches = [layer for layer in unfolded.modules() if isinstance(layer, RepVGGConv)]
    assert branches and any(layer.identity_scale is None for layer in branches)
    weights = dict(folded.state_dict())
    unfolded.adapt_weights(weights)
    unfolded.load_state_dict(weights)
    images, named = inputs(folded_card := cards(False)[which])
    wanted, found = folded(images, **named), unfolded(images, **named)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)

    unfolded.train()
    loss = sum(value.float().square().mean() for value in unfolded(images, **named).values())
    loss.backward()
    trained = [parameter for layer in branches for parameter in layer.parameters()]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained)
    with torch.no_grad():
        for layer in branches:
            for parameter in layer.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    unfolded.eval()
    changed = unfolded(images, **named)
    assert not all(torch.equal(wanted[name], changed[name]) for name in wanted)

    path = tmp_path / "last.ckpt"
    write_checkpoint(path, cards(True)[which], unfolded.state_dict())
    card, held = load_checkpoint(path)
    assert card == folded_card and held.keys() == folded.state_dict().keys()
    folded.load_state_dict(held)
    again = folded(images, **named)
    for name in wanted:
        torch.testing.assert_close(again[name], changed[name], rtol=1e-4, atol=1e-4)


def test_folded_weights_stay_as_they_are() -> None:
    card = cards(False)[0]
    weights = dict(build_model(card).state_dict())
    same, held = fold(card, weights)
    assert same == card and held.keys() == weights.keys()
    assert all(torch.equal(held[name], weights[name]) for name in weights)


@pytest.mark.slow
def test_training_with_branches_writes_models_that_every_command_reads(
    tmp_path: Path, word_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, out = tmp_path / "base.ckpt", tmp_path / "run"
    torch.manual_seed(0)
    card = recognition_card(get_spec("ppocr-rec-tiny"), ASCII94, model={"dropout": 0.1})
    write_checkpoint(base, card, build_model(card).state_dict())
    sets = ["train.max_steps=2", "train.batch_size=4", "train.lr=0", "data.workers=0", "log.previews=0"]
    flags = [part for one in [*sets, "model.unfold=true"] for part in ("--set", one)]
    data = ["-d", str(word_folder), "--val", str(word_folder)]
    arguments = ["train", "ppocr-rec-tiny", "--from", str(base), *data, *flags, "--keep", "none", "-q"]
    assert run([*arguments, "-o", str(out)]) == 0, capsys.readouterr().err
    held = read_checkpoint(out / "last.ckpt")["state_dict"]
    assert any(name.endswith("depthwise.point") for name in held)
    _, weights = load_checkpoint(out / "last.ckpt")
    _, wanted = load_checkpoint(base)
    assert weights.keys() == wanted.keys() and all(torch.equal(weights[name], wanted[name]) for name in wanted)
    assert run([*arguments, "-o", str(out), "--resume", "--set", "train.max_steps=4"]) == 0, capsys.readouterr().err
    assert run(["eval", str(base), str(out), "-d", str(word_folder), "-q"]) == 0
    assert (
        run(["model", "merge", str(base), str(out), "--alpha", "0.5", "-o", str(tmp_path / "merged.ckpt"), "-q"]) == 0
    )


def test_other_architectures_refuse_branches(word_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "crnn-tiny", "-d", str(word_folder), "--set", "model.unfold=true"]) == 2
    assert "model.unfold: crnn-tiny has no folded branches" in capsys.readouterr().err
