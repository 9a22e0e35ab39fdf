"""Polygons judged a second on one core: quads, 14-point curves, and quads with the rules for pairs (20 an image).

python benchmarks/polygon_rules.py [--count 200000]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from ocrctl.data.polygons.findings import Findings
from ocrctl.data.polygons.pair_rules import check_pairs
from ocrctl.data.polygons.rules import check_polygons


def shapes(points: int, count: int) -> np.ndarray:
    """(count * points, 2) plausible text outlines, each a little different."""
    generator = np.random.default_rng(0)
    if points == 4:
        outline = np.array([[-40.0, -10], [40, -10], [40, 10], [-40, 10]])
    else:
        along = np.linspace(0, 1, points // 2)
        top = np.stack([along * 100, -20 * np.sin(along * 3)], 1)
        outline = np.concatenate([top, np.add(top[::-1], [0, 15])])
    places = generator.uniform(100, 900, (count, 1, 2))
    return (places + outline + generator.uniform(-1, 1, (count, points, 2))).reshape(-1, 2)


def main() -> None:
    """Print the best of three runs of each, in processor seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200_000)
    count = parser.parse_args().count
    sides, lengths = np.full(count, 1000.0), np.full(count, 5)
    images, texts = (np.arange(count) // 20).astype(np.int32), ["word"] * count
    for points, pairs in ((4, False), (14, False), (4, True)):
        flat, offsets = shapes(points, count), np.arange(count + 1) * points
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            findings: Findings = check_polygons(flat, offsets, sides, sides, lengths)
            if pairs:
                check_pairs(findings, flat, offsets, images, texts)
            best = min(best, time.process_time() - start)
        print(f"{points:2d} points{' with pairs' if pairs else '':11s} {count / best:12,.0f} polygons/s")


if __name__ == "__main__":
    main()
