"""Detection targets of real pages at 640x640: made by the worker, or packed there and made on a device.

python tests/bench/device_targets.py SPEC [--pages 32] [--batch 8] [--device cpu|cuda] [--side 640]

Pages are shown as training shows them. Milliseconds a picture, the median of the batches: `worker` makes the maps,
`packs` measures the polygons and pads them into a batch, `device` makes the batch's maps from that (their way to the
device included). Then what is sent for a picture, and how the maps differ.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from random import Random
from typing import Any

import cv2
import numpy as np
import torch

from ocrctl.data.augment.pages import PageAugment
from ocrctl.data.datasets.collate import collate
from ocrctl.data.datasets.collate_polygons import collate_outlines
from ocrctl.data.datasets.detection import PageSource
from ocrctl.data.datasets.loader import to_tensors
from ocrctl.data.formats.spec import open_annotations, parse_spec
from ocrctl.data.polygons.page_words import PageWords
from ocrctl.data.targets.of_words import OUTLINES, TARGETS
from ocrctl.training.batches import to_device
from ocrctl.training.targets.of_outlines import MAPS

CLOSE = 1e-3


def timed(device: torch.device, what: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """The result and the milliseconds of one call, with what it left to a GPU."""
    start = time.perf_counter()
    result = what(*arguments)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return result, 1e3 * (time.perf_counter() - start)


def measure(family: str, batches: list[list[PageWords]], side: int, device: torch.device) -> str:
    """One line of figures; the first batch is made once more before, which sets up."""
    blank = np.zeros((32, 32, 3), np.uint8)  # the pictures are not what is timed
    times, largest, differing, pixels, sent = [], 0.0, 0, 0, 0

    def made_by_worker(batch: list[PageWords]) -> Any:
        return collate([blank] * len(batch), [TARGETS[family](w, side, side) for w in batch], range(len(batch)))

    def packed(batch: list[PageWords]) -> Any:
        found = [OUTLINES[family](w, side, side) for w in batch]
        return to_tensors(collate_outlines([blank] * len(batch), found, range(len(batch))))["outlines"]

    def made_on_device(outlines: Any) -> Any:
        return MAPS[family](to_device(outlines, device), side, side)

    for number, batch in enumerate([batches[0], *batches]):
        maps, worker = timed(device, made_by_worker, batch)
        outlines, packs = timed(device, packed, batch)
        found, made = timed(device, made_on_device, outlines)
        if number == 0:
            continue
        times.append([each / len(batch) for each in (worker, packs, made)])
        sent += sum(value.nbytes for group in outlines.values() for value in group.values())
        for name, want in maps.targets.items():
            apart = np.abs(found[name].cpu().numpy().astype(np.float64) - want)
            differing += int((apart > CLOSE).sum())
            pixels += apart.size
            largest = max(largest, float(apart[apart <= CLOSE].max()))
    worker, packs, made = (statistics.median(column) for column in zip(*times, strict=True))
    return (
        f"{family:5s}  worker {worker:6.2f} ms,  packs {packs:6.2f} ms,  device {made:7.2f} ms;  sent"
        f" {sent / sum(map(len, batches)) / 1024:.0f} KiB;  {differing} of {pixels} values differ by more than {CLOSE},"
        f" the others by {largest:.1e} at most"
    )


def main() -> None:
    """Print a line for each family of detectors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("--pages", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    side, device = options.side, torch.device(options.device)
    source = PageSource(open_annotations(parse_spec(options.spec)), None, PageAugment())
    seen = [source.seen(n % len(source), (side, side), Random(n))[1] for n in range(options.pages)]
    print(f"{options.pages} pages, {sum(map(len, seen)) / len(seen):.1f} words a page, device {device}")
    batches = [seen[start : start + options.batch] for start in range(0, len(seen), options.batch)]
    for family in TARGETS:
        print(measure(family, batches, side, device))


if __name__ == "__main__":
    main()
