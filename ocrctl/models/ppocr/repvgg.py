"""Depthwise convolutions with the branches of RepVGG, for training: 3x3, 1x1 and identity.

Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", 2021 (https://arxiv.org/abs/2101.03697), section 3.3:
convolutions of one input that are summed equal one convolution with the sum of their kernels. PP-LCNetV4 is trained
with such branches, and its released models have the sums only. Here they are unfolded again (`model.unfold`): the
released kernel becomes the 3x3 branch, the 1x1 branch starts at 0, and each branch has the scale of a batch
normalisation that starts as the identity. Its statistics stay as they are, so the branches are summed before the
convolution: a step computes no further feature maps, and the outputs before the first step are those of the folded
model. Only checkpoints of training hold branches: `models.checkpoint` folds them when it reads weights.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.model_card import ModelCard

KERNEL = ".kernel"  # ending of a name that a folded layer does not have
SCALES = ("kernel_scale", "point_scale", "identity_scale")


class RepVGGConv(nn.Module):
    """A depthwise 3x3 convolution, the sum of the branches. `weight` and `bias` are those of the folded layer."""

    def __init__(self, channels: int, stride: int | tuple[int, int]) -> None:
        super().__init__()
        self.groups, self.padding = channels, (1, 1)
        self.stride = (stride, stride) if isinstance(stride, int) else stride
        self.kernel = nn.Parameter(torch.zeros(channels, 1, 3, 3))
        self.point = nn.Parameter(torch.zeros(channels, 1, 1, 1))
        self.kernel_scale = nn.Parameter(torch.ones(channels))
        self.point_scale = nn.Parameter(torch.ones(channels))
        self.identity_scale = nn.Parameter(torch.zeros(channels)) if self.stride == (1, 1) else None
        self.bias = nn.Parameter(torch.zeros(channels))

    @property
    def weight(self) -> Tensor:
        """Return the sum of the branches' kernels, (D, 1, 3, 3)."""
        return summed(self.kernel, self.point, self.kernel_scale, self.point_scale, self.identity_scale)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, D, H, W) to (N, D, H / stride, W / stride)."""
        return F.conv2d(features, self.weight, self.bias, self.stride, self.padding, groups=self.groups)


def summed(
    kernel: Tensor, point: Tensor, kernel_scale: Tensor, point_scale: Tensor, identity_scale: Tensor | None
) -> Tensor:
    """Sum the kernels of the branches (D, 1, 3, 3), (D, 1, 1, 1) and the identity, each times its scale (D,)."""
    middle = point * point_scale[:, None, None, None]
    if identity_scale is not None:
        middle = middle + identity_scale[:, None, None, None]
    return kernel * kernel_scale[:, None, None, None] + F.pad(middle, (1, 1, 1, 1))


def fold(card: ModelCard, weights: dict[str, Tensor]) -> tuple[ModelCard, dict[str, Tensor]]:
    """Return card and weights of the folded model that an unfolded one equals."""
    folded = dict(weights)
    for name in [name for name in weights if name.endswith(KERNEL)]:
        stem = name.removesuffix(KERNEL)
        parts = [folded.pop(f"{stem}.{part}", None) for part in ("kernel", "point", *SCALES)]
        kernel, point, kernel_scale, point_scale, identity_scale = parts
        if kernel is None or point is None or kernel_scale is None or point_scale is None:
            continue  # of a damaged file; what is missing is named when the model is built
        folded[f"{stem}.weight"] = summed(kernel, point, kernel_scale, point_scale, identity_scale)
    return replace(card, model={name: value for name, value in card.model.items() if name != "unfold"}), folded


def unfold(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Replace the kernels of folded `weights` by the branches that `model` has for them, in place."""
    for name, layer in model.named_modules():
        if isinstance(layer, RepVGGConv) and f"{name}.weight" in weights:
            kernel = weights.pop(f"{name}.weight")
            fresh = RepVGGConv(layer.groups, layer.stride)
            weights |= {f"{name}.{part}": value.detach() for part, value in fresh.named_parameters() if part != "bias"}
            weights[f"{name}.kernel"] = kernel
