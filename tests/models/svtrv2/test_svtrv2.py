"""SVTRv2: the names of the release, its rearrangement written out, stochastic depth, and published files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ocrctl import Engine
from ocrctl.cli.app import run
from ocrctl.config.model_card import recognition_card
from ocrctl.errors import InputError
from ocrctl.models.build import build_model
from ocrctl.models.layers.ctc import ctc_loss
from ocrctl.models.ocr_model import OCRModel, best_classes
from ocrctl.models.registry import get_spec
from ocrctl.models.svtrv2 import model as svtrv2
from ocrctl.models.svtrv2.blocks import Branch
from ocrctl.models.svtrv2.guidance import substrings
from ocrctl.models.weight_file import read_weight_file, recognise
from ocrctl.text.charset import ASCII94
from ocrctl.training.objectives import ctc_objective

SMALL = {"svtrv2-tiny": (svtrv2.Stage(32, 1, 0, (1, 1)), svtrv2.Stage(64, 1, 1, (2, 1)), svtrv2.Stage(64, 0, 1, None))}


def make(charset: str = "abc", **options: float) -> OCRModel:
    torch.manual_seed(0)
    return build_model(recognition_card(get_spec("svtrv2-tiny"), charset, model=options))


def test_tensors_are_named_and_shaped_as_in_the_release() -> None:
    with torch.device("meta"):
        state = make(ASCII94).state_dict()
    assert len(state) == 180
    assert sum(value.numel() for name, value in state.items() if "running" not in name and value.ndim) == 5_128_255
    shapes = {
        "encoder.pope.patch_embed.0.conv.weight": (32, 3, 3, 3),
        "encoder.pope.patch_embed.1.norm.running_var": (64,),
        "encoder.stages.0.blocks.2.mixer.1.weight": (64, 32, 3, 3),
        "encoder.stages.0.downsample.conv.weight": (128, 64, 3, 3),
        "encoder.stages.1.blocks.4.mixer.qkv.bias": (384,),  # 3 stands for a layer without weights
        "encoder.stages.1.blocks.6.mlp.fc2.weight": (128, 512),
        "encoder.stages.1.downsample.norm.weight": (256,),
        "encoder.stages.2.blocks.2.norm2.bias": (256,),
        "decoder.char_token": (1, 1, 256),
        "decoder.fc_kv.weight": (512, 256),
        "decoder.w_atten_block.attn.qkv.weight": (768, 256),
        "decoder.fc.weight": (95, 256),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    assert not any(name.startswith(("head.", "encoder.stages.1.blocks.3.")) for name in state)


def test_every_column_takes_its_rows_in_shares_of_one() -> None:
    decoder = make().decoder.eval()
    features = torch.randn(2, 256, 4, 5, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = decoder(features)
        for image in range(2):
            rows = torch.stack(
                [decoder.w_atten_block(row.T[None])[0] for row in features[image].unbind(1)]
            )  # (4, 5, D)
            for column in range(5):
                keys, values = decoder.fc_kv(rows[:, column]).split(256, 1)
                shares = (keys @ decoder.char_token[0, 0]).softmax(0)  # (4,)
                torch.testing.assert_close(found[image, column], decoder.fc(shares @ values), rtol=1e-4, atol=1e-5)


def test_branches_are_left_out_in_training_and_the_sum_stays_as_large() -> None:
    torch.manual_seed(0)
    states, branch, add = torch.zeros(4000, 1, 1), torch.ones(4000, 1, 1), Branch(0.25)
    dropped = add(states, branch)
    assert set(dropped.flatten().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(dropped.mean().item() - 1) < 0.05
    assert torch.equal(add.eval()(states, branch), branch)
    model = make(dropout=0.1)
    rates = [part.rate for part in model.encoder.modules() if isinstance(part, Branch)]
    assert len(rates) == 12 and rates[0] == 0 and rates == sorted(rates) and rates[-1] == pytest.approx(0.1)


def test_it_overfits_a_handful_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svtrv2, "SIZES", SMALL)
    model = make().train()
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (4, 3, 32, 64), dtype=torch.uint8, generator=generator)
    labels, lengths = torch.tensor([[1, 2, 3], [3, 3, 1], [2, 0, 0], [1, 1, 0]]), torch.tensor([3, 3, 1, 2])
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for step in range(200):
        optimizer.zero_grad()
        loss = ctc_loss(model(images, widths=torch.tensor([64] * 4))["logits"], labels, lengths)
        loss.backward()
        if not step:
            assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        optimizer.step()
        if loss.item() < 0.05:
            break
    ids, _ = best_classes(model(images)["logits"])
    read = [[k for j, k in enumerate(row) if k and (j == 0 or k != row[j - 1])] for row in ids.tolist()]
    assert read == [[1, 2, 3], [3, 3, 1], [2], [1, 1]]


def published_file(path: Path, guided: bool, charset: str = ASCII94) -> tuple[Path, dict[str, Tensor]]:
    """A file as OpenOCR writes it; guided: of its second stage, with the semantic guidance module."""
    state = make(charset).state_dict()
    named = {name.replace("decoder.", "decoder.ctc_decoder.") if guided else name: state[name] for name in state}
    extra = {"decoder.gtc_decoder.next_token": torch.zeros(1, 1, 1, 256)} if guided else {}
    torch.save({"epoch": 3, "state_dict": {**named, **extra}, "optimizer": {}}, path)
    return path, state


@pytest.mark.parametrize("guided", [False, True])
def test_a_published_file_is_imported_and_read_directly(
    tmp_path: Path, guided: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path, state = published_file(tmp_path / "best.pth", guided)
    assert run(["model", "import", str(path), "--as", "svtrv2-tiny", "-o", str(tmp_path / "a.ckpt"), "--json"]) == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert (card["charset"], card["height"], card["preprocessing"]) == (ASCII94, 32, "keep")
    assert card["kept"]["buckets"] == [64, 96, 112, 128] and card["mean"] == card["std"] == 0.5
    imported, direct = Engine.load(tmp_path / "a.ckpt", device="cpu"), Engine.load(path, device="cpu")
    assert replace(imported.card, version="") == direct.card
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 96, 3), dtype=np.uint8)
    widths = np.array([64, 96])
    logits = direct.logits(images, widths)
    assert np.array_equal(imported.logits(images, widths), logits)
    model = make(ASCII94).eval()
    model.load_state_dict(state)
    with torch.inference_mode():
        own = model(torch.from_numpy(images).permute(0, 3, 1, 2), widths=torch.from_numpy(widths))["logits"]
    np.testing.assert_allclose(logits, own.numpy(), atol=1e-5)


def test_a_charset_of_another_size_has_to_be_given(tmp_path: Path) -> None:
    path, _ = published_file(tmp_path / "best.pth", False, "abcde")
    assert run(["model", "import", str(path), "--as", "svtrv2-tiny", "-o", str(tmp_path / "a.ckpt")]) == 3
    (tmp_path / "chars.txt").write_text("abcde")
    arguments = ["--charset", str(tmp_path / "chars.txt"), "-o", str(tmp_path / "a.ckpt")]
    assert run(["model", "import", str(path), "--as", "svtrv2-tiny", *arguments]) == 0


@pytest.mark.parametrize(("name", "value"), [
    ("encoder.pope.patch_embed.1.conv.weight", torch.zeros(128, 64, 3, 3)),
    ("decoder.char_token", None),
])  # fmt: skip
def test_other_models_of_openocr_are_refused(tmp_path: Path, name: str, value: Tensor | None) -> None:
    path, state = published_file(tmp_path / "other.pth", False)
    changed = {key: value for key, value in ({**state, name: value}).items() if value is not None}
    torch.save({"state_dict": changed}, path)
    with pytest.raises(InputError, match="a model of OpenOCR, but not SVTRv2-tiny"):
        recognise(read_weight_file(path))


def test_the_guidance_reads_five_neighbours_of_each_character_and_the_end() -> None:
    neighbours, targets = substrings(torch.tensor([[7, 8, 9, 4, 5, 6], [3, 0, 0, 0, 0, 0]]), torch.tensor([6, 1]))
    assert targets.tolist() == [[7, 8, 9, 4, 5, 6, 0], [3, 0, *5 * [-1]]]
    assert neighbours.shape == (2, 7, 5)
    assert neighbours[0, 0].tolist() == [0] * 5 and neighbours[0, 2].tolist() == [0, 0, 0, 7, 8]
    assert neighbours[0, 6].tolist() == [8, 9, 4, 5, 6] and neighbours[1, 1].tolist() == [0, 0, 0, 0, 3]


def test_guidance_is_a_loss_of_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svtrv2, "SIZES", SMALL)
    model = make(guidance=True).train()
    images = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    batch = {"images": images, "labels": torch.tensor([[1, 2, 3], [3, 0, 0]]), "lengths": torch.tensor([3, 1]),
             "widths": torch.tensor([64, 40])}  # fmt: skip
    loss = ctc_objective(model, batch)
    outputs = model(images, batch["labels"], widths=batch["widths"])
    plain = ctc_loss(outputs["logits"], batch["labels"], batch["lengths"], torch.tensor([16, 10]))
    torch.testing.assert_close(loss, 0.1 * plain + outputs["auxiliary"])
    loss.backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    images[1, :, :, 40:] = 255  # padding
    torch.testing.assert_close(
        model(images, batch["labels"], widths=batch["widths"])["auxiliary"], outputs["auxiliary"]
    )
    longer = torch.tensor([[1, 2, 3, 0, 0], [3, 0, 0, 0, 0]])
    torch.testing.assert_close(model(images, longer, widths=batch["widths"])["auxiliary"], outputs["auxiliary"])
    model.eval()
    assert list(model(images, batch["labels"])) == ["logits"]


def test_weights_with_and_without_guidance_start_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svtrv2, "SIZES", SMALL)
    guided, plain = make(guidance=True), make()
    for given, model in ((guided, plain), (plain, guided)):
        weights = dict(given.state_dict())
        model.adapt_weights(weights)
        assert weights.keys() == model.state_dict().keys()
        model.load_state_dict(weights)
    assert {name.split(".")[1] for name in guided.class_tensors} == {"fc", "guidance"}
