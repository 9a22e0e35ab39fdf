"""What every backbone is: a network that gives features at several strides, under published tensor names."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Backbone(nn.Module):
    """Normalised pictures (N, 3, H, W) to features, finest first.

    `channels` and `strides` describe them. Tensor names are those of the published ImageNet weights; `classifier` names
    the prefixes of published tensors that a detector has no use for, `unpublished` those of tensors that no ImageNet
    weights hold.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...] = (4, 8, 16, 32)
    classifier: ClassVar[tuple[str, ...]] = ()
    unpublished: ClassVar[tuple[str, ...]] = ()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W), H and W multiples of 32, to one (N, channels[i], H / strides[i], W / strides[i]) each."""
        raise NotImplementedError


def init_convolutions(module: nn.Module) -> None:
    """He et al., 2015 (https://arxiv.org/abs/1502.01852): the variance of gradients kept through ReLU layers."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def init_last(layer: nn.Conv2d) -> None:
    """Start the layer that gives the maps near 0, where no sigmoid has lost its gradient.

    Lin et al., "Focal Loss for Dense Object Detection", 2017, section 4.1 (https://arxiv.org/abs/1708.02002). With as
    few outputs as maps, `init_convolutions` would start them at a deviation of 2 to 3.
    """
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
