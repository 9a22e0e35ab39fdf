"""The head of DBNet: how likely each pixel is text, and above which likelihood it counts there.

Liao et al., 2019 (https://arxiv.org/abs/1911.08947), section 3. The step function that joins both maps is part of the
loss (losses/db.py): a trained model reads boxes off the probability alone.
"""

from __future__ import annotations

from torch import Tensor, nn

from ocrctl.models.backbones.backbone import init_convolutions


class DBHead(nn.Module):
    """Two branches alike, from stride 4 to the picture's own resolution."""

    def __init__(self, width: int) -> None:
        """`width`: channels of the feature; a quarter of it inside."""
        super().__init__()
        self.probability = branch(width, width // 4)
        self.threshold = branch(width, width // 4)

    def forward(self, feature: Tensor) -> dict[str, Tensor]:
        """(N, width, h, w) to {"probability": logits (N, 4 h, 4 w), "threshold": float32 in 0..1 (N, 4 h, 4 w)}."""
        probability = self.probability(feature).squeeze(1)
        threshold = self.threshold(feature).squeeze(1)
        return {"probability": probability, "threshold": threshold.float().sigmoid()}


def branch(width: int, inside: int) -> nn.Sequential:
    """A 3x3 convolution and two transposed ones that double the sides, to one channel."""
    layers = nn.Sequential(
        nn.Conv2d(width, inside, 3, padding=1, bias=False),
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.ConvTranspose2d(inside, inside, 2, 2),
        nn.BatchNorm2d(inside),
        nn.ReLU(),
        nn.ConvTranspose2d(inside, 1, 2, 2),
    )
    init_convolutions(layers)
    return layers
