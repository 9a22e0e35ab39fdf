"""Distances to a base model: zero for equal models, and towards the base for others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import ModelSettings, TrainSettings
from ocrctl.models.build import build_model
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import get_spec
from ocrctl.training.distillation import DistillationObjective, as_labels, distillation
from ocrctl.training.objectives import choose_objective

CARD = ModelCard("crnn-tiny", "recognition", "abcd", 32, 100, 1, 25)


def built(card: ModelCard, seed: int) -> OCRModel:
    torch.manual_seed(seed)
    return build_model(card)


def distance(objective: DistillationObjective, model: OCRModel, images: Tensor) -> Tensor:
    return objective.distance(model, objective.base, images, {})


def pictures(card: ModelCard) -> Tensor:
    size = (2, card.channels, card.height, card.width)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("arch", ["crnn-tiny", "dbnet", "pan", "craft"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_equal_models_have_distance_zero_and_others_more(arch: str, temperature: float) -> None:
    spec = get_spec(arch)
    card = CARD if spec.task == "recognition" else detection_card(spec, ModelSettings(), height=64, width=64, side=64)
    base, other = built(card, 1), built(card, 2).eval()
    found = distillation(choose_objective(card, TrainSettings()), base, card, card, 1.0, temperature)
    assert not found.base.training and not any(p.requires_grad for p in found.base.parameters())
    same = built(card, 1).eval()
    images = pictures(card)
    with torch.no_grad():
        for p in other.head.parameters():
            p += 0.1 * torch.randn_like(p)
        assert float(distance(found, same, images)) == pytest.approx(0, abs=1e-6)
        assert float(distance(found, other, images)) > 1e-5


def test_a_step_along_the_gradient_comes_nearer_to_the_base() -> None:
    base, model = built(CARD, 1), built(CARD, 2).eval()
    found = distillation(choose_objective(CARD, TrainSettings()), base, CARD, CARD, 1.0, 1.0)
    images = pictures(CARD)
    before = distance(found, model, images)
    before.backward()
    assert all(p.grad is None for p in found.base.parameters())
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.01 * p.grad
    assert float(distance(found, model, images).detach()) < float(before.detach())


def test_classes_are_matched_by_character() -> None:
    """The same weights under another order of the charset, and one class more that the base does not know."""
    base = built(CARD, 1)
    other = replace(CARD, charset="dxcba")
    model = built(other, 2).eval()
    weights = built(CARD, 1).state_dict()
    rows = torch.tensor([0, 4, 1, 3, 2, 1])
    for name in model.class_tensors:
        weights[name] = weights[name][rows].clone()
    weights["head.linear.bias"][2] = -50.0  # x: no probability
    model.load_state_dict(weights)
    found = distillation(choose_objective(other, TrainSettings()), base, CARD, other, 1.0, 1.0)
    assert float(distance(found, model, pictures(CARD)).detach()) == pytest.approx(0, abs=1e-6)


def test_the_weight_scales_and_batches_without_kept_images_cost_nothing_more() -> None:
    base, model = built(CARD, 1), built(CARD, 2).eval()
    images = pictures(CARD)
    batch = {"images": images, "labels": torch.tensor([[1, 2], [3, 0]]), "lengths": torch.tensor([2, 1])}
    plain = choose_objective(CARD, TrainSettings())
    found = distillation(plain, base, CARD, CARD, 2.0, 1.0)
    alone = float(plain(model, batch).detach())
    assert float(found(model, batch).detach()) == alone
    kept = {"kept": {"images": images.permute(0, 2, 3, 1).contiguous()}}
    expected = alone + 2 * float(distance(found, model, images).detach())
    assert float(found(model, {**batch, **kept}).detach()) == pytest.approx(expected, rel=1e-6)


def test_readings_become_labels() -> None:
    ids = torch.tensor([[3, 2, 0, 5, 1], [4, 4, 4, 4, 4], [0, 1, 1, 1, 1]])
    assert as_labels(ids, 6).tolist() == [[6, 3, 2, 0, 7, 7], [6, 4, 4, 4, 4, 0], [6, 0, 7, 7, 7, 7]]


def test_an_autoregressive_model_learns_the_readings_of_its_base() -> None:
    card = ModelCard("parseq-tiny", "recognition", "abcd", 32, 128, 3, 5, model={"dropout": 0.0})
    base, model = built(card, 1), built(card, 2)
    found = distillation(choose_objective(card, TrainSettings()), base, card, card, 1.0, 1.0)
    images = pictures(card)
    torch.manual_seed(0)
    before = distance(found, model, images)
    before.backward()
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p -= 0.05 * p.grad
    torch.manual_seed(0)
    assert float(distance(found, model, images).detach()) < float(before.detach())
