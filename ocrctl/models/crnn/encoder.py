"""The encoders of CRNN: its own convolutions, 3x3 kernels with strides and one that spans the rows that are left; or
a backbone, whose coarsest features are joined to one row.

Shi, Bai, Yao, 2015 (https://arxiv.org/abs/1507.05717), section 2.1, with batch normalisation after every convolution
and strides in place of pooling. No activation works in place: the CTC loss needs what an in-place one would overwrite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ocrctl.config.feature_grid import OWN, Stride, Strides, total_stride
from ocrctl.config.model_card import ModelCard
from ocrctl.models.backbones.backbone import Backbone
from ocrctl.models.backbones.build import build_backbone
from ocrctl.models.card import feature_spec
from ocrctl.models.layers.columns import Columns, clear_columns, strided


class ConvEncoder(nn.Module):
    """3x3 convolutions, each with a stride (down, right), then one that spans the remaining height.

    With `columns`, padding is cleared after every block, so that an image has the features it has alone.
    """

    takes_columns = True

    def __init__(
        self, in_channels: int, channels: Sequence[int], strides: Strides, out_channels: int, height: int
    ) -> None:
        """channels, strides: of each 3x3 convolution. out_channels: of the last one. height: of the images, pixels."""
        super().__init__()
        blocks: list[nn.Module] = []
        for width, stride in zip(channels, strides, strict=True):
            blocks += conv_block(in_channels, width, kernel=(3, 3), stride=stride, padding=(1, 1))
            in_channels = width
        rows = height // total_stride(strides)[0]
        blocks += conv_block(in_channels, out_channels, kernel=(rows, 1), stride=(1, 1), padding=(0, 0))
        self.blocks = nn.Sequential(*blocks)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the parameter names of each convolution with its normalisation (OCRModel.layer_depth)."""
        first = [index for index, layer in enumerate(self.blocks) if isinstance(layer, nn.Conv2d)]
        return tuple((f"blocks.{index}.", f"blocks.{index + 1}.") for index in first)

    def forward(self, images: Tensor, columns: Columns | None = None) -> Tensor:
        """Map (N, C, H, W) to (N, D, 1, T), T = W divided by the strides to the right."""
        if columns is None:
            features: Tensor = self.blocks(images)
            return features
        features, widths = images, columns.counted
        for part in self.blocks:
            features = part(features)
            if isinstance(part, nn.Conv2d):
                widths = strided(widths, int(part.stride[1]))
            elif isinstance(part, nn.ReLU):
                features = clear_columns(features, widths)
        return features


def conv_block(
    in_channels: int, out_channels: int, kernel: tuple[int, int], stride: Stride, padding: tuple[int, int]
) -> list[nn.Module]:
    """Return a convolution without bias, batch normalisation, and a ReLU that is not in place."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=False)]


class BackboneColumns(nn.Module):
    """The last feature map of a backbone, a 1x1 convolution to `out_channels`, and the mean of its rows.

    It takes images of one width only: the backbone's features of an image depend on the padding of its batch.
    """

    def __init__(self, backbone: Backbone, out_channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.project = nn.Sequential(
            nn.Conv2d(backbone.channels[-1], out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
        )
        nn.init.kaiming_normal_(self.project[0].weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the parameter names of each layer of the backbone, then of the projection (OCRModel.layer_depth)."""
        own = tuple(tuple(f"backbone.{name}" for name in names) for names in self.backbone.layer_prefixes)
        return (*own, ("project.",))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, out_channels, 1, T)."""
        features: Tensor = self.project(self.backbone(images)[-1])
        return features.mean(2, keepdim=True)


def build_encoder(
    card: ModelCard,
    channels: Sequence[int],
    features: int,
    own: Callable[[int, Sequence[int], Strides, int, int], nn.Module] = ConvEncoder,
) -> nn.Module:
    """Build the encoder that the card names: the family's `own` convolutions, called as ConvEncoder is, of `channels`,
    or a backbone. Its output has `features` channels."""
    spec = feature_spec(card)
    if spec.backbones[0] != OWN:
        return BackboneColumns(build_backbone(card), features)
    return own(card.channels, channels, spec.strides, features, card.height)
