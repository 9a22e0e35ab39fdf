"""`train --from` a published file: whole models of other projects, and ImageNet weights of a backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ocrctl.cli.app import run
from ocrctl.config.settings import ModelSettings
from ocrctl.core.train.initialise import backbone_weights
from ocrctl.errors import UsageError
from ocrctl.models.backbones.build import BACKBONES
from ocrctl.models.backbones.pretrained import backbone_of
from ocrctl.models.registry import get_spec
from ocrctl.models.weight_file import read_weight_file


def imagenet(path: Path, name: str) -> Path:
    """A file as torchvision writes it, with a classifier."""
    backbone = BACKBONES[name]()
    state = {key: value for key, value in backbone.state_dict().items() if not key.startswith(backbone.unpublished)}
    torch.save({**state, f"{backbone.classifier[-1]}weight": torch.zeros(10, 4)}, path)
    return path


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_backbone_is_told_by_its_tensors(tmp_path: Path, name: str) -> None:
    file = read_weight_file(imagenet(tmp_path / "w.pth", name))
    assert backbone_of(file) == name
    first = next(iter(file.tensors))
    file.tensors["odd"] = file.tensors[first]
    assert backbone_of(file) is None


def test_backbone_weights_become_those_of_the_detector(tmp_path: Path, tiny_checkpoint: Path) -> None:
    path = imagenet(tmp_path / "resnet18.pth", "resnet18")
    given = ModelSettings(init=str(path))
    found = backbone_weights(given, get_spec("dbnet"))
    assert (found.init, found.pretrained, found.backbone) == (None, str(path), "resnet18")
    with pytest.raises(UsageError, match="holds ImageNet weights of resnet18; craft supports vgg16bn"):
        backbone_weights(given, get_spec("craft"))
    with pytest.raises(UsageError, match="holds ImageNet weights of resnet18; parseq has its own backbone"):
        backbone_weights(given, get_spec("parseq"))
    with pytest.raises(UsageError, match="model.backbone is resnet50"):
        backbone_weights(given.model_copy(update={"backbone": "resnet50"}), get_spec("dbnet"))
    with pytest.raises(UsageError, match="model.pretrained=package too"):
        backbone_weights(given.model_copy(update={"pretrained": "package"}), get_spec("dbnet"))
    for other in (str(tiny_checkpoint), "runs/none", None):
        given = ModelSettings(init=other)
        assert backbone_weights(given, get_spec("dbnet")) is given


def test_a_detector_is_trained_from_a_backbone_file(
    tmp_path: Path, page_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = imagenet(tmp_path / "mobilenet.pth", "mobilenetv3")
    sets = ["train.max_steps=1", "train.batch_size=1", "data.workers=0", "page.height=64", "page.width=64"]
    arguments = ["train", "dbnet", "--from", str(path), "-d", str(page_folder), "-o", str(tmp_path / "run"),
                 "--fast-dev-run", *(part for one in sets for part in ("--set", one))]  # fmt: skip
    assert run(arguments) == 0
    assert "backbone: mobilenetv3, " in (said := capsys.readouterr()).out + said.err


def test_a_backbone_is_no_model_to_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = imagenet(tmp_path / "vgg.pth", "vgg16bn")
    assert run(["model", "import", str(path), "--as", "dbnet", "-o", str(tmp_path / "m.ckpt")]) == 2
    error = capsys.readouterr().err
    assert "holds ImageNet weights of the backbone vgg16bn" in error and "train DETECTOR --from" in error
