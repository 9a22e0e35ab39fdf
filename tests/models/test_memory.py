"""The projected memory of a step against the same step with real tensors."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor

from ocrctl.config.detection_card import detection_card
from ocrctl.config.settings import ModelSettings
from ocrctl.models.build import build_model
from ocrctl.models.memory import LiveBytes, training_memory
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import get_spec

CARD = detection_card(get_spec("dbnet"), ModelSettings(backbone="mobilenetv3"), height=96, width=96)


def mean_of_maps(model: OCRModel, images: Tensor) -> Tensor:
    return torch.stack([value.float().mean() for value in model(images).values()]).sum()


def test_storages_count_while_something_holds_them() -> None:
    with LiveBytes([]) as step:
        first = torch.zeros(1000)
        view = first.view(10, 100)
        second = (first + 1).relu()
        assert step.live == 8000 and step.peak == 12_000
        del first
        assert step.live == 8000
        del view, second
        gc.collect()
    assert step.live == 0


def test_what_autograd_saves_counts() -> None:
    leaf = torch.zeros(1000, requires_grad=True)
    with LiveBytes([leaf.untyped_storage()]) as step:
        value = leaf.exp().exp().exp().sum()  # three results are kept for the backward pass
        assert step.live == 3 * 4000 + 4
        value.backward()
        del value
        gc.collect()
        assert step.live == 4000  # the gradient


def test_the_projection_is_the_step_without_the_data() -> None:
    projected = training_memory(CARD, mean_of_maps, batch=2, precision="32-true", device="cpu")
    torch.manual_seed(0)
    model = build_model(CARD).train().to(memory_format=torch.channels_last)
    known = [t.untyped_storage() for t in (*model.parameters(), *model.buffers())]
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
        known.append(p.grad.untyped_storage())
    with LiveBytes(known) as step:
        mean_of_maps(model, torch.zeros(2, 3, 96, 96, dtype=torch.uint8)).backward()
    assert abs(step.peak - projected.activations) < 0.02 * step.peak
    weights = sum(p.numel() for p in model.parameters())
    assert projected.gradients == 4 * weights and projected.optimizer == 8 * weights
    assert projected.total == sum(vars(projected).values()) > projected.activations > projected.workspace > 0


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_half_the_bits_need_about_half_the_activations(precision: str) -> None:
    full = training_memory(CARD, mean_of_maps, batch=2, precision="32-true").activations
    half = training_memory(CARD, mean_of_maps, batch=2, precision=precision)
    casts = half.gradients // 2  # autocast keeps the weights in half the bits as well
    assert 0.4 * full < half.activations < 0.6 * full + casts


def test_activations_grow_with_the_batch_and_nothing_else_does() -> None:
    two, four = (training_memory(CARD, mean_of_maps, batch=n, precision="32-true") for n in (2, 4))
    assert 1.9 < four.activations / two.activations < 2.1
    assert (four.parameters, four.gradients, four.optimizer) == (two.parameters, two.gradients, two.optimizer)


def test_what_it_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="precision 'fp8'"):
        training_memory(CARD, mean_of_maps, batch=1, precision="fp8")
