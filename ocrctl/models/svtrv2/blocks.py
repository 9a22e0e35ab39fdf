"""The blocks of SVTRv2: grouped convolutions or attention to mix positions, then a two-layer network on each.

Du et al., "SVTRv2", 2024 (https://arxiv.org/abs/2411.15858). Blocks are normalised after each branch (as
Vaswani et al., 2017), and in training a branch is left out at random (Huang et al., "Deep Networks with Stochastic
Depth", 2016, https://arxiv.org/abs/1603.09382). Tensor names are those of the authors' release, Topdu/OpenOCR.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.config.feature_grid import Stride
from ocrctl.models.layers.attention import attend, join_heads, split_heads
from ocrctl.models.layers.columns import clear_columns, column_mask

EPSILON = 1e-6  # of the normalisations in the blocks of the encoder
RATIO = 4  # hidden units of a block's network for each channel
HEAD = 32  # channels of an attention head, and of a group of a convolution


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, RATIO * width)
        self.fc2 = nn.Linear(RATIO * width, width)

    def forward(self, states: Tensor) -> Tensor:
        """Map (N, S, D) to (N, S, D)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(states)))
        return out


class Attention(nn.Module):
    """Self-attention over all positions, with a joint projection to queries, keys and values."""

    def __init__(self, width: int, *, bias: bool) -> None:
        """bias: of the joint projection."""
        super().__init__()
        self.heads = width // HEAD
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width)

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map (N, S, D) to (N, S, D). mask: bool (N, 1, 1, S), False for padding, which nothing attends to."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(states).chunk(3, 2))
        out: Tensor = self.proj(join_heads(attend(q, k, v, mask)))
        return out


class Branch(nn.Module):
    """The residual sum of a block; in training the branch of an image is left out with probability `rate`, and scaled
    up otherwise."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, states: Tensor, branch: Tensor) -> Tensor:
        """Add `branch` to `states`, both (N, ...)."""
        if not self.training or self.rate == 0:
            return states + branch
        kept = torch.rand((len(branch), *(branch.ndim - 1) * [1]), device=branch.device) >= self.rate
        return states + branch * (kept / (1 - self.rate)).to(branch.dtype)


class GlobalBlock(nn.Module):
    """Attention among all positions of an image, then the network, a normalisation after each."""

    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.mixer = Attention(width, bias=True)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width)
        self.add = Branch(rate)

    def forward(self, features: Tensor, widths: Tensor | None = None) -> Tensor:
        """Map (N, D, h, w) to the same shape. widths: (N,), the columns of each image."""
        height, width = features.shape[2:]
        mask = None
        if widths is not None:
            mask = column_mask(widths, width)[:, None].expand(-1, height, -1).flatten(1)[:, None, None]
        states = features.flatten(2).transpose(1, 2)  # (N, h w, D)
        states = self.norm1(self.add(states, self.mixer(states, mask)))
        states = self.norm2(self.add(states, self.mlp(states)))
        return states.transpose(1, 2).unflatten(2, (height, width))


class LocalBlock(nn.Module):
    """Two grouped 3x3 convolutions, then the network, a normalisation after each."""

    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.mixer = nn.Sequential(
            *(nn.Conv2d(width, width, 3, padding=1, groups=width // HEAD) for _ in range(2))
        )  # fmt: skip
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = Mlp(width)
        self.add = Branch(rate)

    def forward(self, features: Tensor, widths: Tensor | None = None) -> Tensor:
        """Map (N, D, h, w) to the same shape. widths: (N,), the columns of each image."""
        height, width = features.shape[2:]
        mixed = features
        for conv in self.mixer:
            mixed = conv(mixed if widths is None else clear_columns(mixed, widths))
        states = self.add(features, mixed).flatten(2).transpose(1, 2)  # (N, h w, D)
        states = self.norm1(states)
        states = self.norm2(self.add(states, self.mlp(states)))
        return states.transpose(1, 2).unflatten(2, (height, width))


class Subsample(nn.Module):
    """A 3x3 convolution with a stride (down, right) between two stages, and a normalisation."""

    def __init__(self, in_channels: int, out_channels: int, stride: Stride) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, features: Tensor, widths: Tensor | None = None) -> Tensor:
        """Map (N, in, h, w) to (N, out, h / stride[0], w / stride[1])."""
        features = self.conv(features if widths is None else clear_columns(features, widths))
        height, width = features.shape[2:]
        states = self.norm(features.flatten(2).transpose(1, 2))
        return states.transpose(1, 2).unflatten(2, (height, width))


class PatchConv(nn.Module):
    """A 3x3 convolution that halves both sides, batch normalisation, GELU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, 2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H / 2, W / 2)."""
        return F.gelu(self.norm(self.conv(images)))
