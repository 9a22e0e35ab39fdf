"""Detectors under the contract of every model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ocrctl.config.detection_card import NORMALISATION, detection_card
from ocrctl.config.model_card import ModelCard
from ocrctl.config.settings import ModelSettings
from ocrctl.errors import UsageError
from ocrctl.models.build import build_model
from ocrctl.models.dbnet.fpn import FPN, Concatenate
from ocrctl.models.dbnet.loss import db_loss
from ocrctl.models.dbnet.scale_fusion import AdaptiveScaleFusion
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.pan.model import FPEM, PANNeck
from ocrctl.models.registry import get_spec, specs

DETECTORS = [name for name, spec in specs().items() if spec.task == "detection"]
SMALL = {"dbnet": "mobilenetv3", "dbnetpp": "mobilenetv3", "pan": "mobilenetv3", "craft": "vgg16bn"}
# Every size in one number; what the papers' own code has over the same backbone agrees (see docs/reference/models.md).
PARAMETERS = {
    ("dbnet", "efficientnet-lite0"): 3_135_922,
    ("dbnet", "resnet18"): 12_340_930,
    ("dbnetpp", "resnet18"): 12_490_764,
    ("pan", "resnet18"): 12_104_774,
    ("craft", "vgg16bn"): 20_770_466,
    ("ppocr-det-tiny", "auto"): 438_742,
    ("ppocr-det-small", "auto"): 2_476_538,
    ("ppocr-det-medium", "auto"): 15_651_554,
}


def card_of(name: str, backbone: str = "auto", side: int | None = None) -> ModelCard:
    return detection_card(get_spec(name), ModelSettings(backbone=backbone), height=side, width=side)


def make(name: str) -> OCRModel:
    torch.manual_seed(0)
    return build_model(card_of(name, SMALL.get(name, "auto")))


def pictures(count: int, height: int = 64, width: int = 96) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", DETECTORS)
def test_maps_start_where_a_sigmoid_has_a_gradient(name: str) -> None:
    # PAN's text once started at up to 12.7, and all of the image stayed text; DBNet's starts at about 3.
    with torch.no_grad():
        outputs = make(name).train()(pictures(2))
    for key in ("text", "kernel", "probability"):
        if key in outputs:
            assert float(outputs[key].abs().quantile(0.99)) < 4
    for key in ("region", "affinity"):  # CRAFT's maps are linear, 0 to 1 once trained
        if key in outputs:
            assert float(outputs[key].abs().max()) < 0.3


@pytest.mark.parametrize("name", DETECTORS)
def test_maps_have_the_names_and_sizes_of_their_kind(name: str) -> None:
    spec = get_spec(name)
    with torch.inference_mode():
        outputs = make(name).eval()(pictures(2))
    size = (2, 64 // spec.stride_h, 96 // spec.stride_w)
    wanted = {
        "dbnet": {"probability": size, "threshold": size},
        "pan": {"text": size, "kernel": size, "embedding": (2, 4, *size[1:])},
        "craft": {"region": size, "affinity": size},
        "ppocr-det": {"probability": size},  # the threshold is computed in training only
    }
    assert {key: tuple(value.shape) for key, value in outputs.items()} == wanted[spec.family]
    assert all(torch.isfinite(value).all() for value in outputs.values())


@pytest.mark.parametrize("name", DETECTORS)
def test_a_page_is_seen_the_same_alone_and_in_any_batch_and_targets_are_ignored(name: str) -> None:
    model, images = make(name).eval(), pictures(2)
    with torch.inference_mode():
        together, alone = model(images, torch.ones(2)), model(images[1:])
    for key, value in alone.items():
        torch.testing.assert_close(together[key][1:], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", DETECTORS)
def test_channels_last_changes_no_number_beyond_rounding(name: str) -> None:
    model, images = make(name).eval(), pictures(1)
    with torch.inference_mode():
        plain = model(images)
        nhwc = model.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    for key, value in plain.items():
        torch.testing.assert_close(value, nhwc[key], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_training_step_reaches_every_weight_and_waits_for_nothing(name: str, no_host_sync) -> None:
    model = make(name).train()
    with no_host_sync():
        sum(value.square().mean() for value in model(pictures(2)).values()).backward()
    missing = [key for key, p in model.named_parameters() if p.grad is None]
    assert not missing


@pytest.mark.parametrize(("name", "backbone"), PARAMETERS)
def test_sizes(name: str, backbone: str) -> None:
    with torch.device("meta"):
        model = build_model(card_of(name, backbone))
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name, backbone]


def test_the_card_says_how_images_are_normalised() -> None:
    red = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    red[:, 0] = 255
    images = build_model(card_of("dbnet", "resnet18")).normalise(red)
    torch.testing.assert_close(images[0, :, 0, 0], (torch.tensor([1, 0, 0]) - torch.tensor([0.485, 0.456, 0.406]))
                               / torch.tensor([0.229, 0.224, 0.225]))  # fmt: skip
    lite = build_model(card_of("dbnet", "efficientnet-lite0")).normalise(red)
    torch.testing.assert_close(lite[0, :, 0, 0], torch.tensor([128 / 128, -127 / 128, -127 / 128]))
    card = card_of("dbnet")
    assert (card.mean, card.std) == NORMALISATION["efficientnet-lite0"]
    assert ModelCard.from_json(card.to_json()) == card


def test_what_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="craft supports vgg16bn, not resnet18"):
        card_of("craft", "resnet18")
    with pytest.raises(UsageError, match="multiples of 32, found 650x650"):
        card_of("dbnet", side=650)


def test_the_pyramid_adds_what_is_coarse_to_what_is_fine() -> None:
    torch.manual_seed(0)
    neck = FPN((3, 4, 5, 6), 8, Concatenate())
    features = tuple(torch.randn(1, c, 32 // 2**i, 32 // 2**i) for i, c in enumerate((3, 4, 5, 6)))
    with torch.no_grad():
        sums = [lateral(feature) for lateral, feature in zip(neck.lateral, features, strict=True)]
        third = sums[2] + sums[3].repeat_interleave(2, 2).repeat_interleave(2, 3)
        level = neck.smooth[2](third).repeat_interleave(4, 2).repeat_interleave(4, 3)
        joined = neck(features)
    assert joined.shape == (1, 8, 32, 32)
    torch.testing.assert_close(joined[:, 2:4], level)  # coarsest first


def test_scale_fusion_weighs_each_level_at_each_place() -> None:
    torch.manual_seed(0)
    fusion = AdaptiveScaleFusion(32)
    levels = [torch.rand(2, 8, 12, 12) + 0.1 for _ in range(4)]
    with torch.no_grad():
        weights = fusion(levels).view(2, 4, 8, 12, 12) / torch.stack(levels[::-1], 1)
    assert ((weights > 0) & (weights < 1)).all()
    torch.testing.assert_close(weights.std(2), torch.zeros(2, 4, 12, 12), rtol=0, atol=1e-5)  # one for all channels
    assert weights.std((3, 4)).max() > 0


def test_enhancement_carries_every_level_to_every_other() -> None:
    torch.manual_seed(0)
    module = FPEM(8).eval()
    features = [torch.randn(1, 8, 32 // 2**i, 32 // 2**i, requires_grad=True) for i in range(4)]
    for level, output in enumerate(module(features)):
        assert output.shape == features[level].shape
        grads = torch.autograd.grad(output.sum(), features, retain_graph=True, allow_unused=True)
        assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
    with pytest.raises(ValueError, match="expected 4 features"):
        PANNeck((3, 4), 8, 2)


def test_dbnet_overfits_one_page() -> None:
    torch.manual_seed(0)
    model, images = make("dbnet").train(), pictures(2, 64, 64)
    text = torch.zeros(2, 64, 64)
    text[0, 16:32, 8:56], text[1, 40:56, 8:40] = 1, 1
    targets = {"shrink": text, "shrink_mask": torch.ones_like(text), "border": 0.3 + 0.4 * text,
               "border_mask": F.max_pool2d(text, 5, 1, 2)}  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = db_loss(model(images), targets)
        loss.backward()
        optimizer.step()
        if loss.item() < 1:
            break
    seen = model(images)["probability"] > 0
    overlap = (seen & (text > 0)).sum() / (seen | (text > 0)).sum()
    assert overlap > 0.8
