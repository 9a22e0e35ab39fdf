"""`train.freeze` and the numbering of layers, for every architecture."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ocrctl.config.detection_card import detection_card
from ocrctl.config.model_card import recognition_card
from ocrctl.config.settings import ModelSettings, TrainSettings
from ocrctl.errors import UsageError
from ocrctl.models.build import build_model
from ocrctl.models.freeze import freeze
from ocrctl.models.ocr_model import OCRModel
from ocrctl.models.registry import get_spec, specs
from ocrctl.training.optimizer import build_optimizer


def model_of(arch: str, backbone: str = "auto") -> OCRModel:
    """Build a model on the meta device, without weights: tests check names and requires_grad."""
    with torch.device("meta"):
        return built(arch, backbone)


def built(arch: str, backbone: str = "auto") -> OCRModel:
    spec = get_spec(arch)
    if spec.task == "detection":
        return build_model(detection_card(spec, ModelSettings(backbone=backbone), height=64, width=64))  # type: ignore[arg-type]
    return build_model(recognition_card(spec.with_features(backbone), "abc"))


ARCHITECTURES = [
    (name, backbone)
    for name, spec in specs().items() if not spec.plugin
    for backbone in (spec.backbones if spec.task == "detection" else spec.backbones[:2]) or ("auto",)
]  # fmt: skip


@pytest.mark.parametrize(("arch", "backbone"), ARCHITECTURES)
def test_every_architecture_numbers_its_layers_from_the_image_to_the_output(arch: str, backbone: str) -> None:
    model = model_of(arch, backbone)
    depths = {name: model.layer_depth(name) for name, _ in model.named_parameters()}
    assert set(depths.values()) == set(range(model.layers)) and model.layers >= 4
    for prefixes in model.layer_prefixes:
        assert any(name.startswith(prefixes) for name in depths)
    last = [name for name in depths if name.startswith(("head.", *model.class_tensors))]
    assert last and {depths[name] for name in last} == {model.layers - 1}
    rates = [group["share"] for group in build_optimizer(model, TrainSettings(layer_decay=0.5)).param_groups]
    assert max(rates) == 1 and min(rates) == pytest.approx(0.5 ** (model.layers - 1))


@pytest.mark.parametrize(("arch", "backbone"), ARCHITECTURES)
def test_the_first_layers_are_frozen_and_nothing_else(arch: str, backbone: str) -> None:
    model = model_of(arch, backbone)
    found = freeze(model, 2)
    still = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert still == {name for name, _ in model.named_parameters() if model.layer_depth(name) < 2}
    assert found.parameters == sum(model.get_parameter(name).numel() for name in still) > 0
    trained = [id(p) for group in build_optimizer(model, TrainSettings()).param_groups for p in group["params"]]
    assert len(trained) == len(dict(model.named_parameters())) - len(still)
    model.train()
    for name, part in model.named_modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.training != (f"{name}.weight" in still), name


def test_patterns_name_modules_globs_and_regular_expressions() -> None:
    def frozen(setting: str) -> set[str]:
        model = model_of("crnn-tiny")
        freeze(model, setting)
        return {name for name, parameter in model.named_parameters() if not parameter.requires_grad}

    encoder = {name for name, _ in model_of("crnn-tiny").named_parameters() if name.startswith("encoder.")}
    assert frozen("encoder") == frozen("encoder.*") == frozen(r"re:^encoder\.") == encoder
    assert frozen("head.linear.bias, decoder.lstm.bias*") == {"head.linear.bias", *frozen("re:lstm.bias")}
    assert len(frozen("2")) == 6
    assert not frozen("0") and not frozen("")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("encodr", "Did you mean 'encoder'"),
        ("decoder.lst", "Did you mean 'decoder.lstm'"),
        ("re:nothing", "no parameter matches"),
        ("re:(", "not a regular expression"),
        ("*", "every parameter"),
        (99, "expected 0 to 6"),
        (-1, "expected 0 to 6"),
    ],
)
def test_a_name_or_number_that_the_model_does_not_have_is_refused(setting: int | str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        freeze(model_of("crnn-tiny"), setting)
    assert "\n" not in error.value.message


def test_dropout_and_statistics_of_a_frozen_part_are_off() -> None:
    torch.manual_seed(0)
    model = built("crnn-tiny")
    model.decoder.dropout.p = 0.5
    freeze(model, "encoder,decoder")
    images = torch.randint(0, 256, (4, 1, 32, 100), dtype=torch.uint8)
    with torch.no_grad():
        first, again = (model.train()(images)["logits"] for _ in range(2))
        assert torch.equal(first, again) and torch.equal(first, model.eval()(images)["logits"])
