"""A backbone as the encoder of a recogniser that reads columns: its coarsest features, joined to one row."""

from __future__ import annotations

from torch import Tensor, nn

from ocrctl.models.backbones.backbone import Backbone


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
