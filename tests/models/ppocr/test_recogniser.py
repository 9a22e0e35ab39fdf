"""The PP-OCRv6 recogniser: shapes, size, gradients, and that it can be trained from nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ocrctl.config.model_card import ModelCard
from ocrctl.models.build import build_model
from ocrctl.models.layers.columns import Columns
from ocrctl.models.layers.ctc import ctc_loss
from ocrctl.models.ocr_model import OCRModel, best_classes
from ocrctl.models.registry import get_spec

ARCH = "ppocr-rec-small"


def make(arch: str = ARCH, charset: str = "abc", width: int = 96) -> OCRModel:
    spec = get_spec(arch)
    torch.manual_seed(0)
    kept = replace(spec.kept, max_width=width) if spec.kept else None
    card = ModelCard(arch, "recognition", charset, spec.input_height, width, spec.channels, spec.max_label_length,
                     preprocessing="keep", kept=kept)  # fmt: skip
    return build_model(card)


def images(count: int, width: int = 96) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, 48, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("width", [8, 96, 328])
def test_one_step_for_every_eight_columns(width: int) -> None:
    with torch.inference_mode():
        logits = make().eval()(images(2, width))["logits"]
    assert logits.shape == (2, width // 8, 4)


@pytest.mark.parametrize(("arch", "parameters"), [
    ("ppocr-rec-tiny", 543_932), ("ppocr-rec-small", 3_002_640), ("ppocr-rec-medium", 15_502_400),
])  # fmt: skip
def test_sizes_have_the_number_of_parameters_of_the_releases(arch: str, parameters: int) -> None:
    """Without the head; with normalisations folded into the convolutions."""
    model = make(arch)
    assert sum(p.numel() for name, p in model.named_parameters() if not name.startswith("head")) == parameters
    row = model.head.linear.in_features + 1
    assert f"{parameters / 1e6:.1f} M parameters and {row} per character" in get_spec(arch).summary


def test_gradient_reaches_every_weight() -> None:
    model = make().train()
    loss = ctc_loss(model(images(4))["logits"], torch.tensor([[1, 2]] * 4), torch.tensor([2] * 4))
    loss.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not missing


@pytest.mark.slow
def test_it_overfits_a_handful_of_images_from_random_weights() -> None:
    model, batch = make().train(), images(4)
    labels, lengths = torch.tensor([[1, 2, 3], [3, 3, 1], [2, 0, 0], [1, 1, 0]]), torch.tensor([3, 3, 1, 2])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-4)
    for _ in range(150):
        optimizer.zero_grad()
        loss = ctc_loss(model(batch)["logits"], labels, lengths)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.05:
            break
    ids, _ = best_classes(model(batch)["logits"])
    read = [[k for j, k in enumerate(row) if k and (j == 0 or k != row[j - 1])] for row in ids.tolist()]
    assert read == [[1, 2, 3], [3, 3, 1], [2], [1, 1]]


def test_the_constant_column_stands_for_wide_padding() -> None:
    """An image with its margin and one further column has the features and logits of the image in wide padding, where
    all of it is far enough from the right edge. Only that edge, 13 columns of 4 pixels, differs."""
    model = make().eval()
    width, wide = 64, 4000
    padded = torch.full((1, 3, 48, wide), 0.5)
    padded[..., :width] = torch.rand(1, 3, 48, width, generator=torch.Generator().manual_seed(2))
    features = model.encoder(padded * 2 - 1)
    columns = Columns(torch.tensor([width]), torch.tensor([width + 16]))
    model.encoder.weighted_to = wide
    short = model.encoder((padded * 2 - 1)[..., : width + 16], columns)
    torch.testing.assert_close(short[..., : width // 8], features[..., : width // 8], rtol=0.05, atol=0.01)
    torch.testing.assert_close(short[..., -1], features[..., wide // 16], rtol=0.05, atol=0.01)
    model.encoder.weighted_to = 0
    without = model.encoder((padded * 2 - 1)[..., : width + 16], columns)
    assert not torch.allclose(without[..., : width // 8], features[..., : width // 8], rtol=0.05, atol=0.01)


def test_a_weight_of_three_attracts_as_three_columns() -> None:
    model = make().eval()
    states = torch.randn(2, 5, 120, generator=torch.Generator().manual_seed(3))
    block = model.decoder.blocks[0]
    weighed = block(states, torch.tensor([1.0, 1.0, 1.0, 0.0, 3.0]).log()[None, None, None])
    repeated = block(states[:, [0, 1, 2, 4, 4, 4]])
    torch.testing.assert_close(weighed[:, :3], repeated[:, :3])
