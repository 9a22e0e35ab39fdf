"""Compare maps and boxes of a trained detector and its export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ocrctl.errors import counted
from ocrctl.export.onnx import output_names
from ocrctl.export.parity import Disagreement, Parity, differences, larger
from ocrctl.inference.engine import Engine
from ocrctl.inference.pages import Page, same_sized
from ocrctl.models.find import detector_spec
from ocrctl.models.outlines.detections import Detections

MOVED = 1.5  # cells of the map by which corners may differ: a cell at the edge of a region more or less
PROBE_SIZES = ((64, 96), (160, 64))  # height, width of probes, neither the one a graph is traced at


def probe_pages(count: int, size: tuple[int, int], seed: int = 0) -> list[Page]:
    """Generate seeded pages of the network's input size (height, width): noise of every contrast over ramps and
    bars."""
    height, width = size
    rng = np.random.default_rng(seed)
    pages = []
    for _ in range(count):
        ramp = np.linspace(0, 255, width)[None, :, None] * rng.uniform(0, 1, 3)
        image = ramp + rng.uniform(0, 64) * rng.normal(0, 1, (height, width, 3))
        top, left = int(rng.integers(0, height // 2)), int(rng.integers(0, width // 2))
        image[top : top + height // 4, left : left + width // 2] = rng.uniform(0, 255, 3)
        pages.append(Page(np.clip(image, 0, 255).astype(np.uint8), (1.0, 1.0), size))
    return pages


def compare_pages(
    torch_engine: Engine,
    onnx_engine: Engine,
    what: str,
    batches: Iterable[tuple[list[str], Sequence[Page]]],
    words: int = 0,
) -> Parity:
    """Run both on every batch of (names, pages) and collect where maps and boxes differ; `words` are annotated on the
    pages (0 for probes).

    A value that is not finite on either side counts as an infinite difference, and its page as one that differs.
    """
    samples, largest, boxes = 0, (0.0, 0.0), 0
    differing: list[Disagreement] = []
    for names, pages in batches:
        ours = [one for group in same_sized(pages, len(pages)) for one in torch_engine.maps(group)]
        theirs = [one for group in same_sized(pages, len(pages)) for one in onnx_engine.maps(group)]
        for name, page, one, other in zip(names, pages, ours, theirs, strict=True):
            gap = (0.0, 0.0)
            for key in output_names(torch_engine.card):
                gap = larger(gap, _differences(one[key], other[key]))
            largest = larger(largest, gap)
            if gap[0] == float("inf"):
                differing.append(Disagreement(name, "", "values that are not finite"))
                continue
            found, again = torch_engine.find(one, page), onnx_engine.find(other, page)
            boxes += len(found) + len(again)
            moved = _moved(found, again, max(page.scale) / detector_spec(torch_engine.card.arch).map_stride)
            if moved > MOVED:
                by = f", moved by up to {moved:.1f} cells of the map" if moved < float("inf") else ""
                differing.append(
                    Disagreement(
                        name, counted(len(found), "box", "boxes"), f"{counted(len(again), 'box', 'boxes')}{by}"
                    )
                )
        samples += len(names)
    nothing = f"none of {words:,} words is found by either" if words and not boxes else ""
    return Parity(what, samples, *largest, differing, of="boxes", nothing=nothing)


def _differences(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float]:
    if one.shape != other.shape:
        raise ValueError(f"maps differ in shape: PyTorch {one.shape}, ONNX Runtime {other.shape}")
    return differences(one, other)


def _moved(one: Detections, other: Detections, scale: float) -> float:
    """How far the corners that differ most are apart, in cells of the map, `scale` for each pixel of the image.

    Infinite where one has more boxes or points.
    """
    if not np.array_equal(one.offsets, other.offsets):
        return float("inf")
    return float(np.abs(one.points - other.points).max(initial=0.0)) * scale
