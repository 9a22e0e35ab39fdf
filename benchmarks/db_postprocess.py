"""Boxes from a 736x1280 probability map with 20, 100 and 300 texts, against rapidocr's DBPostProcess.

pip install --no-deps rapidocr pyclipper omegaconf colorlog antlr4-python3-runtime==4.9.3
python benchmarks/db_postprocess.py [--rounds 15] [--whole-pixels]

Both with threshold 0.3, box threshold 0.6, unclip 1.5, in turn on the same map; the figure is the median of the paired
ratios. The farthest corner is that of any box from the nearest box of the other's; "exact" is rapidocr with hundredths
of a pixel given to pyclipper, which takes whole numbers only, and with its results left unrounded. `--whole-pixels`:
ours take them, too (`whole_pixels` of db_boxes).
"""

from __future__ import annotations

import argparse
import statistics
import time

import cv2
import numpy as np
from rapidocr.ch_ppocr_det.utils import DBPostProcess

from ocrctl.models.dbnet.postprocess import db_boxes

HEIGHT, WIDTH = 736, 1280


class Exact(DBPostProcess):
    """rapidocr without whole pixels: pyclipper drops fractions, half a pixel to the upper left on average."""

    def unclip(self, box: np.ndarray) -> np.ndarray:
        """In hundredths of a pixel and back."""
        return (super().unclip(np.round(box * 100)) / 100).astype(np.float32)

    def boxes_on(self, values: np.ndarray) -> np.ndarray:
        """Boxes (N, 4, 2) cut to the map, none dropped."""
        contours = cv2.findContours((values > self.thresh).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
        boxes = [self.get_mini_boxes(self.unclip(self.get_mini_boxes(one)[0]))[0] for one in contours]
        return np.clip(boxes, 0, values.shape[::-1])


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Pixels between the corners of boxes and their nearest boxes, the largest of all, both ways."""
    away = np.abs(ours[:, None] - np.asarray(theirs, float)[None]).max((2, 3))
    return float(max(away.min(1).max(), away.min(0).max()))


def page(columns: int, rows: int, generator: np.random.Generator) -> np.ndarray:
    """A map with a kernel in each cell: turned up to 8 degrees, soft edges, noise on the ground."""
    values = generator.uniform(0, 0.15, (HEIGHT, WIDTH)).astype(np.float32)
    across, down = WIDTH / columns, HEIGHT / rows
    for column in range(columns):
        for row in range(rows):
            size = (across * generator.uniform(0.4, 0.75), min(down * 0.4, generator.uniform(8, 24)))
            center = ((column + 0.5) * across, (row + 0.5) * down)
            corners = cv2.boxPoints((center, size, generator.uniform(-8, 8)))
            cv2.fillPoly(values, [np.rint(corners).astype(np.int32)], float(generator.uniform(0.75, 1)))
    return cv2.GaussianBlur(values, (3, 3), 0)


def main() -> None:
    """Print milliseconds a map, the ratio, the number of boxes and how far apart they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--whole-pixels", action="store_true")
    args = parser.parse_args()
    rounds = args.rounds
    cv2.setNumThreads(1)
    reference = DBPostProcess(thresh=0.3, box_thresh=0.6, max_candidates=1000, unclip_ratio=1.5)
    generator = np.random.default_rng(0)
    for columns, rows in ((5, 4), (10, 10), (15, 20)):
        values = page(columns, rows, generator)
        ours, theirs = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            found = db_boxes(values, whole_pixels=args.whole_pixels)
            middle = time.perf_counter()
            boxes, _ = reference(values[None, None], (HEIGHT, WIDTH))
            ours.append(middle - start)
            theirs.append(time.perf_counter() - middle)
        exact = Exact(thresh=0.3, box_thresh=0.6, unclip_ratio=1.5).boxes_on(values)
        print(
            f"{columns * rows:3d} texts: rapidocr {1e3 * statistics.median(theirs):6.2f} ms, {len(boxes)} boxes; ours"
            f" {1e3 * statistics.median(ours):5.2f} ms, {len(found)} boxes;"
            f" {statistics.median(t / o for t, o in zip(theirs, ours, strict=True)):4.1f} times faster; farthest corner"
            f" {apart(found.quads(), boxes):.2f} pixels, from the exact one {apart(found.quads(), exact):.2f}"
        )


if __name__ == "__main__":
    main()
