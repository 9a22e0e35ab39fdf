"""The prefix tree of a lexicon for beam search over an autoregressive decoder."""

from __future__ import annotations

import torch
from torch import Tensor

from ocrctl.text.lexicon import Lexicon


class WordTree:
    """Children of each prefix of a `Lexicon`, as tensors on the device of the search (layers.beam_search.Words)."""

    def __init__(self, lexicon: Lexicon, classes: int, device: torch.device | str) -> None:
        """`classes`: K, of the model."""
        parents, labels = torch.from_numpy(lexicon.parents[1:]), torch.from_numpy(lexicon.labels[1:])
        keys, order = (parents * classes + labels).sort()
        counts = torch.bincount(parents, minlength=len(lexicon.parents))
        self.classes = classes
        self.keys, self.nodes = keys.to(device), (order + 1).to(device)  # edges by parent and class, and their ends
        self.counts, self.first = counts.to(device), (counts.cumsum(0) - counts).to(device)  # edges of each node
        self.ends = torch.from_numpy(lexicon.ends).to(device)

    def allowed(self, nodes: Tensor, classes: int) -> Tensor:
        """Return bool (R, K): the characters that may follow each prefix int64 (R,), class 0 where it is a word."""
        counts = self.counts[nodes]
        rows = torch.arange(len(nodes), device=nodes.device).repeat_interleave(counts)
        within = torch.arange(len(rows), device=nodes.device) - (counts.cumsum(0) - counts)[rows]
        mask = torch.zeros(len(nodes), classes, dtype=torch.bool, device=nodes.device)
        mask[rows, self.keys[self.first[nodes][rows] + within] % self.classes] = True
        mask[:, 0] = self.ends[nodes]
        return mask

    def child(self, nodes: Tensor, ids: Tensor) -> Tensor:
        """Return the prefixes (R,) that follow `nodes` by the characters `ids`; the root where there is none."""
        wanted = nodes * self.classes + ids
        edge = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
        return torch.where(self.keys[edge] == wanted, self.nodes[edge], 0)
