"""PARSeq encoder: a vision transformer over the patches of a word image.

Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021 (https://arxiv.org/abs/2010.11929), pre-norm, without a class
token. Tensor names are those of timm's VisionTransformer, so that published weights load by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ocrctl.models.layers.attention import attend, join_heads, split_heads
from ocrctl.models.layers.init import POSITION_STD, init_transformer

NORM_EPS = 1e-6  # of LayerNorm, as in the published weights


class PatchEmbed(nn.Module):
    """Patch embedding: one strided convolution."""

    def __init__(self, channels: int, dim: int, patch: tuple[int, int]) -> None:
        """`patch`: height and width of a patch in pixels."""
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, kernel_size=patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, S, D), S = (H / patch height) * (W / patch width), row by row."""
        return self.proj(images).flatten(2).transpose(1, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention over patches, with a joint projection to queries, keys and values."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, states: Tensor) -> Tensor:
        """Map (N, S, D) to (N, S, D)."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(states).chunk(3, dim=2))  # (N, heads, S, D/heads)
        return self.proj(join_heads(attend(q, k, v)))


class Mlp(nn.Module):
    """MLP of two linear layers with GELU."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, states: Tensor) -> Tensor:
        """Map (N, S, D) to (N, S, D)."""
        return self.fc2(F.gelu(self.fc1(states)))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = SelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim, mlp_ratio * dim)

    def forward(self, states: Tensor) -> Tensor:
        """Map (N, S, D) to (N, S, D)."""
        states = states + self.attn(self.norm1(states))
        return states + self.mlp(self.norm2(states))


class VisionTransformer(nn.Module):
    """Patch embedding, learned positional embeddings, `depth` blocks, final LayerNorm.

    checkpointing: recompute the activations of each block in the backward pass (Chen et al., "Training Deep Nets with
    Sublinear Memory Cost", 2016, https://arxiv.org/abs/1604.06174). Same results with less memory, for the time of one
    more forward pass. May be changed at any time.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        patch: tuple[int, int],
        dim: int,
        depth: int,
        heads: int,
        *,
        checkpointing: bool = False,
    ) -> None:
        """`height`, `width`, `patch` in pixels. Raises ValueError when the patches do not tile the image."""
        super().__init__()
        self.checkpointing = checkpointing
        if height % patch[0] or width % patch[1]:
            raise ValueError(f"patches of {patch} do not tile an image of ({height}, {width})")
        self.rows = height // patch[0]
        cells = self.rows * (width // patch[1])
        self.patch_embed = PatchEmbed(channels, dim, patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, cells, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp_ratio=4) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        nn.init.trunc_normal_(self.pos_embed, std=POSITION_STD)
        init_transformer(self.blocks, ("proj", "fc2"), depth)

    def interpolate_positions(self, pos_embed: Tensor) -> Tensor:
        """Resample positional embeddings (1, S', D) learned at another image width to this width, (1, S, D).

        Bicubic interpolation along the width (Dosovitskiy et al., 2021, section 3.2). Raises ValueError when S' is not
        a multiple of the number of rows of patches.
        """
        cells = self.pos_embed.shape[1]
        if pos_embed.shape[1] % self.rows:
            raise ValueError(f"{pos_embed.shape[1]} patches do not fill {self.rows} rows")
        grid = pos_embed.unflatten(1, (self.rows, -1)).permute(0, 3, 1, 2)  # (1, D, rows, columns)
        grid = F.interpolate(grid.float(), (self.rows, cells // self.rows), mode="bicubic", align_corners=False)
        return grid.flatten(2).transpose(1, 2).contiguous()

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised (N, C, H, W) to the memory (N, S, D), one vector for each patch. Raises ValueError for images
        of a size other than the model was built for."""
        states = self.patch_embed(images)
        if states.shape[1] != self.pos_embed.shape[1]:
            cells = self.pos_embed.shape[1]
            raise ValueError(f"images of {tuple(images.shape[2:])} have {states.shape[1]} patches, not {cells}")
        states = states + self.pos_embed
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            return self.norm(self.blocks(states))
        for block in self.blocks:
            # Blocks draw no random numbers, so the random state need not be preserved.
            states = checkpoint(block, states, use_reentrant=False, preserve_rng_state=False)
        return self.norm(states)
