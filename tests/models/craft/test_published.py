"""Published CRAFT weights: the maps are those of the published network, computed here from the file's own tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ocrctl import Engine
from ocrctl.config.detection_card import IMAGENET, detection_card
from ocrctl.config.settings import ModelSettings
from ocrctl.inference.pages import Page
from ocrctl.models.build import build_model
from ocrctl.models.registry import get_spec
from ocrctl.models.weight_file import read_weight_file, recognise

SLICES = ((1, 0, 12), (2, 12, 19), (3, 19, 29), (4, 29, 39))  # number, first and last layer of VGG-16
POOLS = (6, 13, 23, 33)
CONVOLUTIONS = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Random weights under the names of the published file; batch normalisation is not the identity."""
    card = detection_card(get_spec("craft"), ModelSettings())
    generator = torch.Generator().manual_seed(1)
    named = {}
    for name, value in build_model(card).state_dict().items():
        if "running_mean" in name:
            value = torch.randn(value.shape, generator=generator) * 0.1
        elif "running_var" in name:
            value = torch.rand(value.shape, generator=generator) + 0.5
        part, _, rest = name.partition(".")
        inner, _, last = rest.partition(".")
        if inner == "features":
            layer = int(last.split(".")[0])
            number = next(number for number, first, end in SLICES if first <= layer < end)
            name = f"basenet.slice{number}.{last}"
        elif inner in ("fc6", "fc7"):
            name = f"basenet.slice5.{1 if inner == 'fc6' else 2}.{last}"
        elif part == "decoder":
            step, _, last = last.partition(".")
            name = f"upconv{int(step) + 1}.conv.{last}"
        else:
            name = f"conv_cls.{last}"
        named[f"module.{name}"] = value
    return named


def reference(tensors: dict[str, Tensor], image: Tensor) -> Tensor:
    """The published network, layer by layer: normalised (1, 3, H, W) to (1, 2, H / 2, W / 2). Its ReLUs work in place,
    so that a feature that is taken before one has passed it; all but the last, which max pooling follows."""

    def conv(x: Tensor, name: str, padding: int = 1, dilation: int = 1) -> Tensor:
        weight, bias = tensors[f"module.{name}.weight"], tensors[f"module.{name}.bias"]
        return F.conv2d(x, weight, bias, padding=padding, dilation=dilation)

    def norm(x: Tensor, name: str) -> Tensor:
        parts = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(tensors[f"module.{name}.{part}"] for part in parts))

    x, features = image, []
    for number, first, end in SLICES:
        for layer in range(first, end):
            if layer in CONVOLUTIONS:
                x = conv(x, f"basenet.slice{number}.{layer}")
            elif layer - 1 in CONVOLUTIONS:
                x = norm(x, f"basenet.slice{number}.{layer}")
            elif layer in POOLS:
                x = F.max_pool2d(x, 2, 2)
            else:
                x = F.relu_(x)  # in place: `features` sees it
        features.append(x)
    x = F.max_pool2d(x, 3, 1, 1)
    x = conv(conv(x, "basenet.slice5.1", 6, 6), "basenet.slice5.2", 0)
    for number, feature in enumerate(reversed(features), 1):
        x = F.interpolate(x, size=feature.shape[2:], mode="bilinear", align_corners=False)
        x = torch.cat([x, feature], 1)
        for layer, padding in ((0, 0), (3, 1)):
            x = conv(x, f"upconv{number}.conv.{layer}", padding)
            x = F.relu(norm(x, f"upconv{number}.conv.{layer + 1}"))
    for layer, padding in ((0, 1), (2, 1), (4, 1), (6, 0)):
        x = F.relu(conv(x, f"conv_cls.{layer}", padding))
    return conv(x, "conv_cls.8", 0)


def test_the_maps_are_those_of_the_published_network(tmp_path: Path, published: dict[str, Tensor]) -> None:
    torch.save(published, tmp_path / "craft.pth", _use_new_zipfile_serialization=False)
    engine = Engine.load(tmp_path / "craft.pth", device="cpu")
    assert engine.card.thresholds == {"threshold": 0.7, "link_threshold": 0.4, "low_text": 0.4}
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)  # RGB
    mean, std = (np.array(values, np.float32) for values in IMAGENET)
    with torch.inference_mode():

        def maps(pixels: np.ndarray) -> Tensor:
            normalised = ((pixels.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)
            return reference(published, torch.from_numpy(normalised[None].copy()))

        right, swapped = maps(image), maps(image[:, :, ::-1])
    found = engine.maps([Page(image, (1.0, 1.0), (64, 96))])[0]
    scale = float(right.abs().max())
    for index, name in enumerate(("region", "affinity")):
        np.testing.assert_allclose(found[name], right[0, index].numpy(), atol=1e-5 * scale)
        assert np.abs(found[name] - swapped[0, index].numpy()).max() > 1e-3 * scale  # BGR would be seen


def test_other_files_are_not_taken_for_it(tmp_path: Path, published: dict[str, Tensor]) -> None:
    some = {name: value for name, value in published.items() if "upconv" not in name}
    torch.save(some, tmp_path / "w.pth")
    assert recognise(read_weight_file(tmp_path / "w.pth")) is None
