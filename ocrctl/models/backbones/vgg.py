"""VGG-16 with batch normalisation as CRAFT uses it.

Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014
(https://arxiv.org/abs/1409.1556), configuration D, up to the second convolution of the fifth stage. Two convolutions
replace the fully connected layers, the first dilated by 6, as in Baek et al., "Character Region Awareness for Text
Detection", 2019 (https://arxiv.org/abs/1904.01941), figure 2. Names of `features` are torchvision's.
"""

from __future__ import annotations

from torch import Tensor, nn

from ocrctl.config.feature_grid import Strides
from ocrctl.models.backbones.backbone import Backbone
from ocrctl.models.layers.init import init_convolutions

# Channels of the 3x3 convolutions; max pooling between stages. Configuration D without its last convolution.
STAGES: tuple[tuple[int, ...], ...] = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512))
FC_CHANNELS = 1024


class VGG16BN(Backbone):
    """Feature maps after the second convolution of stages 2 to 5 and after the last two convolutions.

    The feature map of stage 5 is taken before its ReLU, the others after it, as in the release of CRAFT.
    """

    channels = (128, 256, 512, 512, FC_CHANNELS)
    strides = (2, 4, 8, 16, 16)
    classifier = ("features.40.", "features.41.", "classifier.")
    unpublished = ("fc6.", "fc7.")

    def __init__(self, strides: Strides | None = None) -> None:
        """`strides`: of the four poolings."""
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 3
        for stage, stride in zip(STAGES, ((1, 1), *self.halvings(strides, 4)), strict=True):
            layers += [nn.MaxPool2d(stride, stride)] if layers else []
            for width in stage:
                layers += [nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                in_channels = width
        self.features = nn.Sequential(*layers[:-1])
        self.out_indices = (12, 19, 29, 38)  # ReLU of conv2_2, conv3_2 and conv4_2, normalisation of conv5_2
        self.pool = nn.MaxPool2d(3, 1, padding=1)
        self.fc6 = nn.Conv2d(in_channels, FC_CHANNELS, 3, padding=6, dilation=6)
        self.fc7 = nn.Conv2d(FC_CHANNELS, FC_CHANNELS, 1)
        init_convolutions(self)

    @property
    def layer_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """Return the prefixes of each layer (Backbone): each 3x3 convolution with its normalisation, then the two that
        replace the linear layers."""
        first = [index for index, layer in enumerate(self.features) if isinstance(layer, nn.Conv2d)]
        return (*((f"features.{index}.", f"features.{index + 1}.") for index in first), ("fc6.",), ("fc7.",))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (N, 3, H, W) to five feature maps at strides 2, 4, 8, 16, 16."""
        x, features = images, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.out_indices:
                features.append(x)
        return (*features, self.fc7(self.fc6(self.pool(x))))
