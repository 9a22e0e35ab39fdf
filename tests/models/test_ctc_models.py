"""Every CTC model of the registry: no activation in place, targets ignored, rows that do not depend on the batch."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor, nn

from ocrctl.config.model_card import recognition_card
from ocrctl.models.build import build_model
from ocrctl.models.layers.ctc import ctc_loss
from ocrctl.models.ocr_model import OCRModel, best_classes
from ocrctl.models.registry import get_spec, specs

CTC = [name for name, spec in specs().items() if spec.tokenizer == "ctc" and not spec.plugin]
TINY = [name for name in CTC if name.endswith("crnn-tiny") and name != "crnn-tiny"]
WIDTH = 64  # pixels


def make(name: str, **model: object) -> OCRModel:
    spec = get_spec(name)
    torch.manual_seed(0)
    return build_model(recognition_card(spec, "abc", model=model))


def words(name: str, count: int) -> Tensor:
    spec = get_spec(name)
    shape = (count, spec.channels, spec.input_height, WIDTH)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CTC)
def test_no_activation_works_in_place(name: str) -> None:
    with torch.device("meta"):
        modules = list(make(name).named_modules())
    assert len(modules) > 5 and not [path for path, module in modules if getattr(module, "inplace", False)]


@pytest.mark.parametrize("name", TINY)
def test_an_image_is_read_the_same_alone_and_in_any_batch(name: str) -> None:
    model, images = make(name).eval(), words(name, 3)
    with torch.inference_mode():
        together = model(images)["logits"]
        alone = torch.cat([model(images[i : i + 1], torch.ones(1, 3).long())["logits"] for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TINY)
def test_gradient_reaches_every_weight_and_a_handful_is_overfitted(name: str) -> None:
    model, images = make(name).train(), words(name, 4)
    labels, lengths = torch.tensor([[1, 2, 3], [3, 3, 1], [2, 0, 0], [1, 1, 0]]), torch.tensor([3, 3, 1, 2])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(200):
        optimizer.zero_grad()
        loss = ctc_loss(model(images)["logits"], labels, lengths)
        loss.backward()
        if not step:
            assert not [one for one, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        optimizer.step()
        if loss.item() < 0.05:
            break
    ids, _ = best_classes(model(images)["logits"])
    read = [[k for j, k in enumerate(row) if k and (j == 0 or k != row[j - 1])] for row in ids.tolist()]
    assert read == [[1, 2, 3], [3, 3, 1], [2], [1, 1]]


def gradients(model: OCRModel, images: Tensor) -> list[Tensor]:
    """Of the CTC loss, in a thread of its own that has 60 seconds for it."""
    labels, lengths = torch.tensor([[1, 2, 3], [3, 3, 1]]), torch.tensor([3, 3])

    def backward() -> None:
        ctc_loss(model.train()(images)["logits"], labels, lengths).backward()

    thread = threading.Thread(target=backward, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "backward hangs"
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def test_in_place_relu_alone_does_not_hang_backward_and_changes_no_gradient() -> None:
    """ReLU in place overwrites what batch normalisation gave, which no gradient needs."""
    images = words("crnn-tiny", 2)
    plain = gradients(make("crnn-tiny"), images)
    model = make("crnn-tiny")
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    assert plain and all(map(torch.equal, plain, gradients(model, images)))


def test_an_activation_in_place_on_what_a_gradient_needs_is_an_error_at_once() -> None:
    model = make("crnn-tiny").train()
    model.decoder.dropout = nn.Sequential(nn.Sigmoid(), nn.ReLU(inplace=True))  # sigmoid's gradient needs its output
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        ctc_loss(model(words("crnn-tiny", 2))["logits"], torch.tensor([[1], [2]]), torch.tensor([1, 1])).backward()


@pytest.mark.parametrize("name", [name for name in CTC if "own" in get_spec(name).backbones])
def test_strides_and_backbones_set_the_steps(name: str) -> None:
    fine = get_spec(name, strides=",".join(["2x2", "2x1", "1x1", "2x1", "2x1", "1x1"][: len(get_spec(name).strides)]))
    assert fine.stride_w == 2 and fine.grid == (1, fine.input_width // 2) and fine.min_width == 8
    model = build_model(recognition_card(fine, "abc")).eval()
    with torch.inference_mode():
        assert model(words(name, 2))["logits"].shape == (2, WIDTH // 2, 4)
    if name.endswith("tiny"):
        spec = get_spec(name, backbone="resnet18")
        assert spec.channels == 3 and spec.resizes == ("stretch",) and spec.stride_w == 4
        card = recognition_card(spec, "abc")
        assert card.model == {"backbone": "resnet18", "strides": "2x2,2x2,2x1,2x1,2x1"} and card.mean != 0.5
        with torch.inference_mode():
            found = build_model(card).eval()(torch.zeros(2, 3, 32, WIDTH, dtype=torch.uint8))
        assert found["logits"].shape == (2, WIDTH // 4, 4)


def test_other_strides_keep_padding_out() -> None:
    spec = get_spec("efficient-crnn-tiny", resize="keep", strides="2x2,2x1,2x1,2x1,1x1")
    assert spec.kept is not None and spec.kept.multiple == 4
    model = build_model(recognition_card(spec, "abc")).eval()
    assert model.columns_per_step == 2
    images, widths = words("efficient-crnn-tiny", 2), torch.tensor([31, WIDTH])
    together = model(images, widths=widths)["logits"]
    alone = model(images[:1, ..., :32], widths=widths[:1])["logits"]
    torch.testing.assert_close(together[:1, :16], alone, rtol=1e-4, atol=1e-5)
