"""Cost of deformable and of full cross-attention as the feature map grows: counted, and timed on one thread.

    python benchmarks/cross_attention_cost.py [--rounds N]

T = 26 characters, batch 8, 128 features, 4 heads, K = 4 points. Multiplications of the part that differs: a character
samples 4 H K cells' features of d values (bilinear) and weighs K of them, against H W products of d values for the
scores and as many for the mean. Times are those of `look` in decoding (forward) and in training (forward and backward),
without what is computed once for an image (`prepare`): the median of paired rounds, in CPU time.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from ocrctl.models.layers.multi_head import FeatureMap, FullCrossAttention
from ocrctl.models.true2d.deformable import DeformableCrossAttention

BATCH, STEPS, DIM, HEADS, POINTS = 8, 26, 128, 4, 4
MAPS = ((4, 25), (8, 25), (8, 50), (8, 100), (16, 100), (16, 200))


Attention = FullCrossAttention | DeformableCrossAttention


def forward(attention: Attention, image: FeatureMap) -> float:
    """CPU milliseconds of one forward pass."""
    with torch.inference_mode():
        prepared, states = attention.prepare(image), torch.randn(BATCH, STEPS, DIM)
        start = time.process_time()
        attention.look(states, prepared, 0)
        return 1000 * (time.process_time() - start)


def training(attention: Attention, image: FeatureMap) -> float:
    """CPU milliseconds of one forward and backward pass."""
    prepared = tuple(None if part is None else part.detach().requires_grad_() for part in attention.prepare(image))
    states = torch.randn(BATCH, STEPS, DIM, requires_grad=True)
    start = time.process_time()
    attention.look(states, prepared, 0).sum().backward()
    return 1000 * (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    full = FullCrossAttention(DIM, HEADS)
    deformable = DeformableCrossAttention(DIM, HEADS, POINTS, STEPS)
    print("| map | multiplications, full | deformable | decoding, full | deformable | training, full | deformable |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for rows, columns in MAPS:
        image = FeatureMap(torch.randn(BATCH, DIM, rows, columns), None)
        dense = 2 * STEPS * rows * columns * DIM
        sampled = STEPS * POINTS * (4 + 1) * DIM
        cells = []
        for measure in (forward, training):
            pairs = [(measure(full, image), measure(deformable, image)) for _ in range(rounds + 2)][2:]
            cells += [f"{statistics.median(times):.1f} ms" for times in zip(*pairs, strict=True)]
        print(f"| {rows} x {columns} | {dense:,} | {sampled:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
