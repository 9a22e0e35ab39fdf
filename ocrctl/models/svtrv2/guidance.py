"""Semantic guidance: in training, the image features also predict each character from its neighbours.

Du et al., "SVTRv2", 2024 (https://arxiv.org/abs/2411.15858), semantic guidance module (SGM), with the substring
matching of Du et al., "Out of Length Text Recognition with Sub-String Matching", 2024
(https://arxiv.org/abs/2407.12317): a query gathers the 5 characters before a position, finds the image region that
follows them, and predicts the character there; a second one does so from right to left. Inference does not run it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrctl.models.layers.attention import attend, join_heads, split_heads
from ocrctl.models.layers.columns import reversed_steps

NEIGHBOURS = 5  # characters on one side of a position
CONTEXT_HEAD = 32  # channels of a head that reads the neighbours
IMAGE_HEADS = 2  # that find the region in the image
IGNORED = -1  # target of a position beyond the text
EPSILON = 1e-6
INIT_STD = 0.02


class CrossAttention(nn.Module):
    """Multi-head attention from queries to keys and values of other states, a normalisation before each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_queries = nn.LayerNorm(width, eps=EPSILON)
        self.norm_states = nn.LayerNorm(width, eps=EPSILON)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)

    def forward(self, queries: Tensor, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map queries (N, Q, D) and states (N, S, D) to (N, Q, D). mask: bool, broadcast to (N, heads, Q, S), True
        attends."""
        q = split_heads(self.query(self.norm_queries(queries)), self.heads)
        k, v = (split_heads(part, self.heads) for part in self.key_value(self.norm_states(states)).chunk(2, 2))
        out: Tensor = self.project(join_heads(attend(q, k, v, mask)))
        return out


class Direction(nn.Module):
    """One reading direction: a learned query, and learned embeddings of the neighbours' positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(INIT_STD * torch.randn(1, 1, width))
        self.positions = nn.Parameter(INIT_STD * torch.randn(1, NEIGHBOURS + 1, width))


class Guidance(nn.Module):
    """Predicts each character, and the end of the text, from its neighbours on one side and the image features.

    Class 0, the blank of CTC, is the end of a text here, and stands before its start in the neighbours.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(num_classes, width)
        self.directions = nn.ModuleList([Direction(width), Direction(width)])
        self.gather = CrossAttention(width, width // CONTEXT_HEAD)
        self.find = CrossAttention(width, IMAGE_HEADS)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.fc = nn.Linear(width, num_classes)
        nn.init.normal_(self.embed.weight, std=width**-0.5)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=INIT_STD)
                nn.init.zeros_(layer.bias)

    def forward(self, states: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the mean cross entropy over all characters and ends of both directions, float32.

        states: image features (N, S, D). labels: int64 (N, L), 0 past the end. mask: bool (N, 1, 1, S), False for
        padding of the batch.
        """
        lengths = (labels > 0).sum(1)
        backwards = labels.gather(1, reversed_steps(lengths, labels.shape[1]))
        logits, targets = [], []
        for direction, read in zip(self.directions, (labels, backwards), strict=True):
            assert isinstance(direction, Direction)
            neighbours, target = substrings(read, lengths)
            logits.append(self._predict(direction, states, neighbours, mask))
            targets.append(target)
        with torch.autocast(states.device.type, enabled=False):
            flat = torch.cat(logits, 1).float().flatten(0, 1)  # (N 2 (L + 1), K)
            return F.cross_entropy(flat, torch.cat(targets, 1).flatten(), ignore_index=IGNORED)

    def _predict(self, direction: Direction, states: Tensor, neighbours: Tensor, mask: Tensor | None) -> Tensor:
        """Map neighbours (N, L + 1, 5) to logits (N, L + 1, K)."""
        count, steps, _ = neighbours.shape
        context = direction.positions.expand(count * steps, -1, -1)  # (N (L + 1), 6, D)
        context = context + F.pad(self.embed(neighbours.flatten(0, 1)), (0, 0, 1, 0))
        seen = F.pad(neighbours.flatten(0, 1) > 0, (1, 0), value=True)[:, None, None]  # (N (L + 1), 1, 1, 6)
        queries = direction.query.expand(count * steps, -1, -1)
        queries = (queries + self.gather(queries, context, seen)).view(count, steps, -1)  # (N, L + 1, D)
        out: Tensor = self.fc(self.norm(self.find(queries, states, mask)))
        return out


def substrings(labels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the NEIGHBOURS classes before each position, 0 before the start, int64 (N, L + 1, 5), and the class at it,
    0 at the end of the text and IGNORED beyond, int64 (N, L + 1), for labels (N, L) with `lengths` (N,)."""
    neighbours = F.pad(labels, (NEIGHBOURS, 0)).unfold(1, NEIGHBOURS, 1)  # (N, L + 1, 5)
    targets = F.pad(labels, (0, 1))
    beyond = torch.arange(targets.shape[1], device=labels.device) > lengths[:, None]
    return neighbours, targets.masked_fill(beyond, IGNORED)
