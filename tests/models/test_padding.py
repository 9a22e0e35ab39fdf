"""Padding of a batch changes no output of a CTC recogniser that keeps the aspect ratio; test_autoregressive.py has the
others."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ocrctl.config.model_card import ModelCard
from ocrctl.models.build import build_model
from ocrctl.models.layers.columns import clear_columns, column_mask, reversed_steps, strided, take_steps
from ocrctl.models.layers.ctc import ctc_loss
from ocrctl.models.ocr_model import NEVER, OCRModel
from ocrctl.models.registry import get_spec, specs
from ocrctl.training.objectives import ctc_objective

KEEPERS = sorted(spec.name for spec in specs().values() if "keep" in spec.resizes and spec.tokenizer == "ctc")
WIDTHS = (13, 64, 121, 40)


def weighs_padding(name: str) -> bool:
    """Whether the model reads padding to the right of every image, even where there is none."""
    kept = get_spec(name).kept
    return kept is not None and kept.weighted_to > 0


def keeper(name: str, **changes: int) -> tuple[ModelCard, OCRModel]:
    """A model with random weights and statistics, so that a column of zeros does not stay zero."""
    spec = get_spec(name).with_resize("keep")
    assert spec.kept is not None
    kept = replace(spec.kept, **changes)
    card = ModelCard(name, spec.task, "abc", spec.input_height, kept.max_width, spec.channels, spec.max_label_length,
                     preprocessing="keep", kept=kept)  # fmt: skip
    torch.manual_seed(0)
    model = build_model(card).eval()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.normal_(part.bias)
    return card, model


def batch(card: ModelCard, width: int) -> tuple[Tensor, Tensor]:
    assert card.kept is not None
    generator = torch.Generator().manual_seed(1)
    shape = (len(WIDTHS), card.channels, card.height, card.kept.batch_width(width))
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator), torch.tensor(WIDTHS)


@pytest.mark.parametrize("name", KEEPERS)
def test_the_content_of_padding_changes_nothing(name: str) -> None:
    card, model = keeper(name)
    images, widths = batch(card, 200)
    outputs = model(images, widths=widths)["logits"]
    images[~column_mask(widths, images.shape[3])[:, None, None].expand_as(images)] = 255
    assert torch.equal(model(images, widths=widths)["logits"], outputs)


@pytest.mark.parametrize("name", KEEPERS)
@pytest.mark.parametrize("changes", [{}, {"margin": 7}, {"pad_to": 48}])
def test_the_other_images_of_a_batch_change_nothing(name: str, changes: dict[str, int]) -> None:
    card, model = keeper(name, **changes)
    assert card.kept is not None
    images, widths = batch(card, 200)
    together = model(images, widths=widths)["logits"]
    for row, width in enumerate(WIDTHS):
        alone = model(images[row : row + 1, ..., : card.kept.batch_width(width)], widths=widths[row : row + 1])[
            "logits"
        ]
        steps = int(model.steps_of(widths)[row])
        assert steps + model.lost_steps == -(-card.kept.counted(width) // get_spec(name).stride_w) <= alone.shape[1]
        torch.testing.assert_close(together[row, :steps], alone[0, :steps], rtol=1e-4, atol=5e-5)
        assert bool((together[row, steps:, 1:] == NEVER).all()) and bool((together[row, steps:, 0] == 0).all())


@pytest.mark.parametrize("name", [name for name in KEEPERS if not weighs_padding(name)])
def test_a_batch_without_padding_is_read_as_without_widths(name: str) -> None:
    card, model = keeper(name)
    images, _ = batch(card, 64)
    widths = torch.full((len(images),), images.shape[3])
    torch.testing.assert_close(model(images, widths=widths)["logits"], model(images)["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KEEPERS)
def test_the_loss_of_a_batch_is_that_of_its_images(name: str) -> None:
    card, model = keeper(name)
    assert card.kept is not None
    images, widths = batch(card, 200)
    labels, lengths = torch.tensor([[1, 2, 0], [3, 0, 0], [1, 1, 2], [2, 3, 1]]), torch.tensor([1, 1, 3, 3])
    whole = ctc_objective(model, {"images": images, "widths": widths, "labels": labels, "lengths": lengths})
    parts = [
        ctc_objective(model, {
            "images": images[row : row + 1, ..., : card.kept.batch_width(width)], "widths": widths[row : row + 1],
            "labels": labels[row : row + 1], "lengths": lengths[row : row + 1],
        })
        for row, width in enumerate(WIDTHS)
    ]  # fmt: skip
    torch.testing.assert_close(whole, torch.stack(parts).mean(), rtol=1e-4, atol=1e-5)


def test_ctc_reads_no_further_than_its_steps() -> None:
    logits = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0))
    labels, lengths, steps = torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1]), torch.tensor([5, 9])
    found = ctc_loss(logits, labels, lengths, steps)
    logits[0, 5:] = 50.0
    assert torch.equal(ctc_loss(logits, labels, lengths, steps), found)
    assert not torch.equal(ctc_loss(logits, labels, lengths), found)


def test_columns() -> None:
    assert strided(torch.tensor([1, 4, 5]), 4).tolist() == [1, 1, 2]
    assert column_mask(torch.tensor([0, 2]), 3).tolist() == [[False] * 3, [True, True, False]]
    features = torch.full((1, 1, 1, 3), torch.nan)
    assert clear_columns(features, torch.tensor([0])).tolist() == [[[[0.0, 0.0, 0.0]]]]
    sequence = torch.arange(8.0).view(2, 4, 1)
    order = reversed_steps(torch.tensor([3, 4]), 4)
    turned = take_steps(sequence, order)
    assert turned.flatten().tolist() == [2, 1, 0, 3, 7, 6, 5, 4]
    assert torch.equal(take_steps(turned, order), sequence)


def test_a_model_of_one_size_has_no_steps_of_its_own() -> None:
    model = build_model(ModelCard("crnn-tiny", "recognition", "abc", 32, 100, 1, 25))
    with pytest.raises(ValueError, match="do not depend on the width"):
        model.steps_of(torch.tensor([3]))
