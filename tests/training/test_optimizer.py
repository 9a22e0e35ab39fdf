"""Muon and AdamW: orthogonal updates, groups, flags that block a step, clipping."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import TrainSettings
from ocrctl.models.build import build_model
from ocrctl.training.muon import MuonAdamW, orthogonalised
from ocrctl.training.optimizer import build_optimizer, clip


def card(arch: str = "crnn-tiny") -> ModelCard:
    channels = 1 if arch.startswith("crnn") else 3
    return ModelCard(arch, "recognition", "abc", 32, 100 if channels == 1 else 128, channels, 25)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), size=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
def test_orthogonalised_singular_values_are_near_one(rows: int, columns: int, size: float, seed: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * size
    values = torch.linalg.svdvals(matrix)
    [made] = orthogonalised([matrix])
    assert made.shape == matrix.shape
    large = int((values > 0.05 * values.norm()).sum())  # five rounds lift what is not far below the rest
    assert float(torch.linalg.svdvals(made)[:large].min()) > 0.6 and float(torch.linalg.svdvals(made).max()) < 1.3


def test_orthogonalised_keeps_the_directions_and_zero() -> None:
    matrix = torch.diag(torch.tensor([3.0, -2.0, 1.0]))
    made, nothing = orthogonalised([matrix, torch.zeros(2, 5)])
    assert torch.equal(made.sign(), matrix.sign()) and torch.allclose(made, torch.diag(made.diagonal()))
    assert torch.equal(nothing, torch.zeros(2, 5))


@pytest.mark.parametrize("muon", [False, True])
def test_a_blocked_step_changes_nothing(muon: bool) -> None:
    weight = nn.Parameter(torch.randn(4, 6))
    optimizer = MuonAdamW([{"params": [weight], "muon": muon, "weight_decay": 0.1}], lr=0.1)
    weight.grad = torch.randn(4, 6)
    optimizer.step()
    kept = weight.detach().clone(), {k: v.clone() for k, v in optimizer.state[weight].items()}
    weight.grad = torch.full((4, 6), torch.nan)
    optimizer.found_inf = torch.tensor(1.0)
    optimizer.step()
    assert torch.equal(weight, kept[0])
    assert all(torch.equal(value, kept[1][name]) for name, value in optimizer.state[weight].items())
    weight.grad = torch.randn(4, 6)
    optimizer.found_inf = torch.tensor(0.0)
    optimizer.step()
    assert not torch.equal(weight, kept[0])


def test_muon_takes_the_hidden_matrices_only() -> None:
    for arch, outside in (
        ("crnn-tiny", {"encoder.blocks.0.weight", "head.linear.weight"}),
        ("parseq-tiny", {"encoder.patch_embed.proj.weight", "head.weight", "text_embed.embedding.weight"}),
    ):
        model = build_model(card(arch))
        taken = {name for name, p in model.named_parameters() if model.is_hidden_matrix(name, p)}
        left = {name for name, p in model.named_parameters() if p.ndim in (2, 4)} - taken
        assert left == outside
        groups = build_optimizer(model, TrainSettings(optimizer="muon")).param_groups
        assert sum(len(g["params"]) for g in groups if g["muon"]) == len(taken)


def test_layer_decay_slows_the_lower_blocks() -> None:
    model = build_model(card("parseq-tiny"))
    groups = build_optimizer(model, TrainSettings(layer_decay=0.5)).param_groups
    shares = {name: g["share"] for g in groups for p in g["params"] for name, q in model.named_parameters() if p is q}
    assert shares["head.weight"] == 1.0
    assert shares["encoder.blocks.11.attn.qkv.weight"] == 2 * shares["encoder.blocks.10.attn.qkv.weight"]
    assert min(shares.values()) == shares["encoder.patch_embed.proj.weight"] < shares["encoder.blocks.0.norm1.weight"]


def test_clip_cuts_to_the_limit_and_undoes_the_scale() -> None:
    weights = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2))]
    for weight, value in zip(weights, (3.0, 4.0), strict=True):
        weight.grad = torch.zeros_like(weight)
        weight.grad[0] = value * 8
    norm = clip(weights, 1.0, torch.tensor(8.0))
    assert float(norm) == pytest.approx(5.0)
    assert float(weights[0].grad[0]) == pytest.approx(0.6, rel=1e-4)
    assert float(clip(weights, 0.0, None)) == pytest.approx(1.0, rel=1e-4)
