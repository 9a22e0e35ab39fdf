"""The interface of every backbone: features at several strides, under the tensor names of published weights."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Backbone(nn.Module):
    """Convolutional network that returns feature maps at several strides, finest first.

    `channels` and `strides` describe the feature maps. Tensor names are those of the published ImageNet weights.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...] = (4, 8, 16, 32)
    classifier: ClassVar[tuple[str, ...]] = ()
    """prefixes of published tensors that belong to the classifier, which detectors do not use"""
    unpublished: ClassVar[tuple[str, ...]] = ()
    """prefixes of tensors that no ImageNet weights contain"""

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the prefixes of the parameter names of each layer, the input layer first (OCRModel.layer_depth);
        empty: they are not numbered."""
        return ()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map normalised (N, 3, H, W), H and W multiples of 32, to one (N, channels[i], H / strides[i], W / strides[i])
        for each stride."""
        raise NotImplementedError
