"""What a recipe may ask of PARSeq: checkpointing, label smoothing, a layer for every parameter, weights of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard
from ocrctl.errors import InputError
from ocrctl.models import build
from ocrctl.models.parseq.loss import permuted_loss
from ocrctl.models.parseq.model import SIZES, PARSeq

EOS, BOS, PAD = 0, 7, 8
LABELS = torch.tensor([[BOS, 1, 2, 3, 4, 5, EOS], [BOS, 6, 1, EOS, PAD, PAD, PAD]])


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> PARSeq:
    """parseq-tiny with two blocks, for six characters."""
    monkeypatch.setitem(SIZES, "parseq-tiny", replace(SIZES["parseq-tiny"], blocks=2))
    torch.manual_seed(0)
    card = ModelCard("parseq-tiny", "recognition", "abcdef", 32, 128, 3, 25, model={"dropout": 0.1})
    built = build.build_model(card)
    assert isinstance(built, PARSeq)
    return built


def pictures() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 32, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def gradients(model: PARSeq) -> tuple[dict[str, torch.Tensor], int]:
    """Gradients of one step with seeded dropout, and the numbers that forward kept for backward."""
    kept = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    torch.manual_seed(0)
    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        memory = model.features(pictures())
    kept_by_encoder = kept
    memory.sum().backward()
    torch.manual_seed(0)
    permuted_loss(model(pictures(), LABELS)["logits"], LABELS, ends=EOS, pad=PAD).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, kept_by_encoder


def test_checkpointing_gives_the_same_gradients_from_less_memory(model: PARSeq) -> None:
    model.train()
    assert not model.encoder.checkpointing
    plain, kept = gradients(model)
    model.encoder.checkpointing = True
    again, kept_less = gradients(model)
    assert plain.keys() == again.keys() and all(torch.equal(plain[name], again[name]) for name in plain)
    assert kept_less < kept / 3
    with torch.inference_mode():
        read = model.eval().generate(pictures())["logits"]
        model.encoder.checkpointing = False
        assert torch.equal(read, model.generate(pictures())["logits"])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smoothing_spreads_its_share_over_all_classes(smoothing: float) -> None:
    logits = torch.randn(2, 6, 6, 7, generator=torch.Generator().manual_seed(0))
    wanted = LABELS[:, None, 1:].expand(-1, 6, -1).clone()
    wanted[:, 2:][wanted[:, 2:] == EOS] = PAD
    counts = wanted != PAD
    logs = F.log_softmax(logits, 3)
    share = (1 - smoothing) * F.one_hot(wanted.clamp(max=6), 7) + smoothing / 7
    expected = -(share * logs).sum(3)[counts].mean()
    found = permuted_loss(logits, LABELS, ends=EOS, pad=PAD, smoothing=smoothing)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_every_parameter_has_a_layer_that_grows_from_the_image_to_the_text(model: PARSeq) -> None:
    depths = {name: model.layer_depth(name) for name, _ in model.named_parameters()}
    assert set(depths.values()) == set(range(model.layers)) and model.layers == 4  # two blocks
    assert depths["encoder.patch_embed.proj.weight"] == depths["encoder.pos_embed"] == 0
    assert (depths["encoder.blocks.0.attn.qkv.weight"], depths["encoder.blocks.1.norm1.bias"]) == (1, 2)
    behind = [name for name in depths if not name.startswith("encoder.")] + ["encoder.norm.weight"]
    assert {depths[name] for name in behind} == {3}
    with pytest.raises(ValueError, match="'encoder.blocks.9.norm1.weight' is not a parameter"):
        model.layer_depth("encoder.blocks.9.norm1.weight")


def test_weights_that_are_not_the_cards_are_refused(model: PARSeq) -> None:
    card = ModelCard("parseq-tiny", "recognition", "abcdef", 32, 128, 3, 25)
    weights = model.state_dict()
    assert not build.build_trained(card, weights, Path("best.ckpt")).training
    wrong = [
        (
            replace(card, charset="abc"),
            r"best.ckpt: its card says parseq-tiny with 3 characters, which needs head.bias of",
        ),
        (replace(card, arch="parseq"), "its card says parseq with 6 characters, which needs decoder"),
        (
            replace(card, max_label_length=9),
            r"needs pos_queries of shape \(1, 10, 192\); its weights hold \(1, 26, 192\)",
        ),
    ]
    for other, message in wrong:
        with pytest.raises(InputError, match=message):
            build.build_trained(other, weights, Path("best.ckpt"))
    del weights["head.bias"]
    with pytest.raises(InputError, match="head.bias of shape .*; its weights hold none"):
        build.build_trained(card, weights, Path("best.ckpt"))
