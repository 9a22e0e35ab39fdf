"""The interface of every backbone: features at several strides, under the tensor names of published weights."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from ocrctl.config.feature_grid import Strides

HALVED = (2, 2)  # a stride of every stage of a detector's backbone


class Backbone(nn.Module):
    """Convolutional network that returns feature maps at several strides, finest first.

    `channels` and `strides` describe the feature maps of a detector. Tensor names are those of the published ImageNet
    weights. A recogniser gives each stage that halves the features a stride (down, right) of its own
    (config.feature_grid): no tensor changes its shape.
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

    def halvings(self, strides: Strides | None, count: int) -> Strides:
        """Return the strides of the `count` stages that halve the features; None: 2 both ways. Raises ValueError for
        another number of them."""
        found = (HALVED,) * count if strides is None else strides
        if len(found) != count:
            raise ValueError(f"{type(self).__name__} requires {count} strides, found {len(found)}")
        return found

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map normalised (N, 3, H, W), H and W multiples of 32, to one (N, channels[i], H / strides[i], W / strides[i])
        for each stride, or to H and W divided by the strides of a recogniser."""
        raise NotImplementedError
