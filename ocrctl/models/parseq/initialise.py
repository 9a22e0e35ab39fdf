"""First weights of PARSeq's transformers: sums keep their size from layer to layer, places are heard from the start.

The blocks' linear layers start at a deviation of 1 / sqrt(inputs) (LeCun et al., "Efficient BackProp", 1998, section
4.6), those that end a residual branch at 1 / sqrt(2 x blocks) of it (Radford et al., "Language Models are Unsupervised
Multitask Learners", 2019, section 2.3). The authors' code starts everything at 0.02; what that costs:
docs/research/benchmarks.md, "Weight initialisation".
"""

from __future__ import annotations

from torch import nn

PLACES = 0.3  # deviation of learnt positions; embedded patches start at about 0.35


def start(module: nn.Module, ends: tuple[str, ...], blocks: int) -> None:
    """Draw the weights of every linear layer of `module`; biases are 0. Layers named as one of `ends` end a branch, of
    which `blocks` blocks have two each."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            share = (2 * blocks) ** -0.5 if name.rsplit(".", 1)[-1] in ends else 1.0
            nn.init.trunc_normal_(layer.weight, std=share * layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
