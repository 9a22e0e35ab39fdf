"""CRNN under the contract of every model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from ocrctl.config.model_card import ModelCard
from ocrctl.models.build import build_model
from ocrctl.models.layers.ctc import ctc_loss
from ocrctl.models.ocr_model import OCRModel, best_classes
from ocrctl.models.registry import get_spec, specs
from ocrctl.text.charset import Charset

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "models.md"
CTC = [name for name, spec in specs().items() if spec.family in ("crnn", "attention-crnn", "efficient-crnn")]


def make(name: str) -> OCRModel:
    spec = get_spec(name)
    torch.manual_seed(0)
    return build_model(
        ModelCard(name, spec.task, "abc", spec.input_height, spec.input_width, spec.channels, spec.max_label_length)
    )


def pictures(name: str, count: int) -> torch.Tensor:
    spec = get_spec(name)
    generator = torch.Generator().manual_seed(1)
    shape = (count, spec.channels, spec.input_height, spec.input_width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", CTC)
def test_an_image_is_read_the_same_alone_and_in_any_batch(name: str) -> None:
    model, images = make(name).eval(), pictures(name, 5)
    with torch.inference_mode():
        together = model(images)["logits"]
        alone = torch.cat([model(images[i : i + 1])["logits"] for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CTC)
def test_targets_are_accepted_and_ignored(name: str) -> None:
    model, images = make(name).eval(), pictures(name, 2)
    with torch.inference_mode():
        torch.testing.assert_close(model(images)["logits"], model(images, torch.ones(2, 3).long())["logits"])


def test_channels_last_changes_no_number_beyond_rounding() -> None:
    model, images = make("crnn-tiny").eval(), pictures("crnn-tiny", 2)
    with torch.inference_mode():
        plain = model(images)["logits"]
        model = model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(plain, model(images.contiguous(memory_format=torch.channels_last))["logits"],
                                   rtol=1e-3, atol=1e-4)  # fmt: skip


def test_gradient_reaches_every_weight() -> None:
    model = make("crnn-tiny").train()
    loss = ctc_loss(model(pictures("crnn-tiny", 4))["logits"], torch.tensor([[1, 2]] * 4), torch.tensor([2] * 4))
    loss.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not missing


def test_it_overfits_a_handful_of_images() -> None:
    model, images = make("crnn-tiny").train(), pictures("crnn-tiny", 4)
    labels, lengths = torch.tensor([[1, 2, 3], [3, 3, 1], [2, 0, 0], [1, 1, 0]]), torch.tensor([3, 3, 1, 2])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = ctc_loss(model(images)["logits"], labels, lengths)
        loss.backward()
        optimizer.step()
        if loss.item() < 0.05:
            break
    ids, _ = best_classes(model(images)["logits"])
    read = [[k for j, k in enumerate(row) if k and (j == 0 or k != row[j - 1])] for row in ids.tolist()]
    assert read == [[1, 2, 3], [3, 3, 1], [2], [1, 1]]


def test_ctc_loss_is_the_mean_per_character_and_float32_under_autocast() -> None:
    logits = torch.randn(2, 7, 4, generator=torch.Generator().manual_seed(0))
    labels, lengths = torch.tensor([[1, 2, 0], [3, 1, 2]]), torch.tensor([2, 3])
    each = nn.functional.ctc_loss(logits.log_softmax(-1).transpose(0, 1), labels, torch.tensor([7, 7]), lengths,
                                  reduction="none")  # fmt: skip
    torch.testing.assert_close(ctc_loss(logits, labels, lengths), (each / lengths).mean())
    with torch.autocast("cpu", torch.bfloat16):
        assert ctc_loss(logits.bfloat16(), labels, lengths).dtype == torch.float32


def published_crnn(classes: int) -> nn.ModuleList:
    """The parameters of the network in Shi, Bai, Yao 2015, table 1: pooling has none."""
    convolutions, channels = [], 1
    for out, kernel in ((64, 3), (128, 3), (256, 3), (256, 3), (512, 3), (512, 3), (512, 2)):
        convolutions.append(nn.Conv2d(channels, out, kernel))
        channels = out
    norms = [nn.BatchNorm2d(512), nn.BatchNorm2d(512)]
    lstms = [nn.LSTM(512, 256, bidirectional=True), nn.LSTM(256, 256, bidirectional=True)]
    return nn.ModuleList([*convolutions, *norms, *lstms, nn.Linear(512, 256), nn.Linear(512, classes)])


def test_documented_parameter_counts_are_those_of_the_networks() -> None:
    """docs/reference/models.md gives both parameter counts, and `model list` says that `crnn` is the lighter."""
    counts = {}
    for name in CTC:
        spec, chars = get_spec(name), Charset.load(get_spec(name).default_charset).chars
        card = ModelCard(
            name, spec.task, chars, spec.input_height, spec.input_width, spec.channels, spec.max_label_length
        )
        counts[name] = sum(parameter.numel() for parameter in build_model(card).parameters()) / 1e6
        assert f"{counts[name]:.1f} M parameters" in spec.summary
        assert ("variant" in spec.summary) == (name in ("crnn", "crnn-tiny"))
    published = sum(parameter.numel() for parameter in published_crnn(95).parameters()) / 1e6
    text = DOCS.read_text(encoding="utf-8")
    row = re.search(r"^\| parameters \| ([\d.]+) M \| ([\d.]+) M \|$", text, re.MULTILINE)
    assert row and row.groups() == (f"{counts['crnn']:.2f}", f"{published:.2f}")
    assert f"`crnn-tiny` ({counts['crnn-tiny']:.2f} M with `lower36`)" in text
