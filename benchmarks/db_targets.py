"""Shrink and threshold maps of one 640x640 image, against the published procedure written out below.

pip install pyclipper; python benchmarks/db_targets.py [--rounds 5] [--sloped] [--projection]

The two run in turn on the same images; the figure is the median of the paired ratios. `--sloped` turns the words by
up to 45 degrees; by default they lie within 10 degrees of level. The distance to an edge is taken by the law of cosines
from the distances to its ends, as the paper's authors do; `--projection` takes it by projecting onto the edge, which is
less work.
"""

from __future__ import annotations

import argparse
import statistics
import time

import cv2
import numpy as np
import pyclipper

from ocrctl.models.dbnet.targets import db_targets

SIDE = 640


def words(count: int, generator: np.random.Generator, sloped: bool) -> np.ndarray:
    """(count, 4, 2) word quads; smaller where there are many, as on a real page."""
    height = generator.uniform(10, 40 if count <= 50 else 30, count)
    width = height * generator.uniform(1.5, 5, count)
    tilt = np.deg2rad(generator.uniform(*((-45, 45) if sloped else (-10, 10)), count))
    box = np.stack([np.stack([-width, -height], 1), np.stack([width, -height], 1),
                    np.stack([width, height], 1), np.stack([-width, height], 1)], 1) / 2  # fmt: skip
    turn = np.stack([np.stack([np.cos(tilt), np.sin(tilt)], 1), np.stack([-np.sin(tilt), np.cos(tilt)], 1)], 1)
    middle = generator.uniform(60, SIDE - 60, (count, 1, 2))
    return np.clip(box @ turn + middle + generator.uniform(-2, 2, (count, 4, 2)), 0, SIDE - 1)


def by_cosines(xs: np.ndarray, ys: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Distance to an edge: a height of the triangle with its ends, or the side to the nearer end where the edge is
    seen under less than a right angle (which is too much straight before a short edge)."""
    one = np.square(xs - start[0]) + np.square(ys - start[1])
    two = np.square(xs - stop[0]) + np.square(ys - stop[1])
    edge = np.square(start - stop).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (edge - one - two) / (2 * np.sqrt(one * two))
        height = np.nan_to_num(np.sqrt(one * two * (1 - np.square(cosine)) / edge))
    height[cosine < 0] = np.sqrt(np.minimum(one, two))[cosine < 0]
    return height


def by_projection(xs: np.ndarray, ys: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Distance to the nearest point of an edge."""
    edge = stop - start
    along = np.clip(((xs - start[0]) * edge[0] + (ys - start[1]) * edge[1]) / max(edge @ edge, 1e-9), 0, 1)
    return np.hypot(xs - start[0] - along * edge[0], ys - start[1] - along * edge[1])


def published(
    quads: np.ndarray, height: int, width: int, projection: bool, ratio: float = 0.4
) -> dict[str, np.ndarray]:
    """The procedure of Liao et al. 2019 polygon by polygon: offset, draw, distance to every edge over the grown box."""
    shrink, mask = np.zeros((height, width), np.uint8), np.ones((height, width), np.uint8)
    border, border_mask = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for quad in quads:
        closed = np.roll(quad, -1, axis=0)
        area = abs(np.sum(quad[:, 0] * closed[:, 1] - closed[:, 0] * quad[:, 1])) / 2
        distance = area * (1 - ratio**2) / np.linalg.norm(closed - quad, axis=1).sum()
        offset = pyclipper.PyclipperOffset()
        offset.AddPath([tuple(point) for point in quad], pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
        inner, outer = offset.Execute(-distance), offset.Execute(distance)
        if not inner:
            cv2.fillPoly(mask, [quad.astype(np.int32)], 0)
            continue
        cv2.fillPoly(shrink, [np.array(inner[0], np.int32)], 1)
        grown = np.array(outer[0], np.int32)
        cv2.fillPoly(border_mask, [grown], 1.0)
        (left, top), (right, bottom) = grown.min(0), grown.max(0)
        xs, ys = np.meshgrid(np.arange(left, right + 1), np.arange(top, bottom + 1))
        nearest = np.ones(xs.shape, np.float32)
        for start, stop in zip(quad, closed, strict=True):
            away = (by_projection if projection else by_cosines)(xs, ys, start, stop)
            nearest = np.minimum(nearest, np.clip(away / distance, 0, 1))
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width - 1), min(bottom, height - 1)
        view = border[y0 : y1 + 1, x0 : x1 + 1]
        np.maximum(view, 1 - nearest[y0 - top : y1 - top + 1, x0 - left : x1 - left + 1], out=view)
    return {"shrink": shrink, "shrink_mask": mask, "border": border * 0.4 + 0.3, "border_mask": border_mask}


def main() -> None:
    """Print milliseconds an image, the ratio, and how the maps differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sloped", action="store_true")
    parser.add_argument("--projection", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    generator = np.random.default_rng(0)
    for count in (10, 50, 100):
        ratios, ours, theirs, differences = [], [], [], []
        for _ in range(options.rounds):
            quads = words(count, generator, options.sloped)
            arguments = quads.reshape(-1, 2), np.arange(count + 1) * 4, np.zeros(count, bool), SIDE, SIDE
            db_targets(*arguments)
            start = time.perf_counter()
            for _ in range(5):
                mine = db_targets(*arguments)
            middle = time.perf_counter()
            reference = published(quads, SIDE, SIDE, options.projection)
            end = time.perf_counter()
            ours.append((middle - start) / 5)
            theirs.append(end - middle)
            ratios.append(theirs[-1] / ours[-1])
            both = (mine["border_mask"] > 0) & (reference["border_mask"] > 0)
            differences.append([
                np.abs(mine["border"] - reference["border"])[both].max(),
                np.abs(mine["border"] - reference["border"]).max(),
                np.mean(mine["border_mask"] != reference["border_mask"]),
                np.mean(mine["shrink"] != reference["shrink"]),
                mine["shrink"].mean(), reference["shrink"].mean(),
            ])  # fmt: skip
        within, anywhere, ring, kernel, mine_share, their_share = np.array(differences).max(0)
        print(
            f"{count:3d} polygons: published {1e3 * statistics.median(theirs):6.2f} ms, ours"
            f" {1e3 * statistics.median(ours):5.2f} ms, {statistics.median(ratios):4.1f} times faster (least"
            f" {min(ratios):.1f});  threshold differs by {within:.4f} in both rings ({anywhere:.4f} anywhere), ring"
            f" mask in {ring:.2%}, kernel in {kernel:.2%} of pixels (kernels {mine_share:.2%}, {their_share:.2%})"
        )


if __name__ == "__main__":
    main()
