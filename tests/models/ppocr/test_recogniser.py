"""The PP-OCRv6 recogniser: shapes, size, gradients, and that it can be trained from nothing."""

from __future__ import annotations

import pytest
import torch

from ocrctl.config.model_card import ModelCard
from ocrctl.models.build import build_model
from ocrctl.models.layers.ctc_loss import ctc_loss
from ocrctl.models.ocr_model import OCRModel, best_classes
from ocrctl.models.ppocr.blocks import SqueezeExcite
from ocrctl.models.registry import get_spec

ARCH = "ppocr-rec-small"


def make(arch: str = ARCH, charset: str = "abc", width: int = 96) -> OCRModel:
    spec = get_spec(arch)
    torch.manual_seed(0)
    return build_model(
        ModelCard(arch, "recognition", charset, spec.input_height, width, spec.channels, spec.max_label_length)
    )


def images(count: int, width: int = 96) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, 48, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("width", [8, 96, 328])
def test_one_step_for_every_eight_columns(width: int) -> None:
    with torch.inference_mode():
        logits = make().eval()(images(2, width))["logits"]
    assert logits.shape == (2, width // 8, 4)


def test_the_small_size_has_the_published_number_of_parameters() -> None:
    """5.27 M with the 18,709 characters of the release; its normalisations are folded into convolutions."""
    classes = 18_710
    fixed = sum(p.numel() for name, p in make().named_parameters() if not name.startswith("head"))
    assert fixed + classes * 121 == 5_266_550


def test_gradient_reaches_every_weight() -> None:
    model = make().train()
    loss = ctc_loss(model(images(4))["logits"], torch.tensor([[1, 2]] * 4), torch.tensor([2] * 4))
    loss.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not missing


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


def test_squeeze_excite_weighs_columns() -> None:
    """A column of weight 3 acts as three columns, and one of weight 0 as none."""
    torch.manual_seed(0)
    layer = SqueezeExcite(8)
    features = torch.randn(2, 8, 3, 4)
    weighed = layer(features, torch.tensor([[1.0, 1.0, 3.0, 0.0]] * 2))
    repeated = layer(features[..., [0, 1, 2, 2, 2]])
    torch.testing.assert_close(weighed[..., :3], repeated[..., :3])
