"""Statistics of annotated pages: images, instances, their sizes and shapes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.polygons.columns import boxes
from ocrctl.data.validate.image_scan import ImageScan
from ocrctl.data.validate.run import text_sizes

_BINS = 10


@dataclass(frozen=True)
class Distribution:
    """A distribution: five quantiles, and `counts` in bins between `edges`."""

    smallest: float
    low: float  # tenth percentile
    median: float
    high: float  # ninetieth percentile
    largest: float
    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class PageStats:
    """Counts, and distributions in pixels; None where there is nothing to measure."""

    format: str
    images: int = field(metadata={"formerly": "pictures"})
    instances: int
    ignored: int
    empty_images: int = field(metadata={"formerly": "empty_pictures"})  # without instances
    points: dict[int, int]  # points of a polygon to polygons
    per_image: Distribution | None = field(metadata={"formerly": "per_picture"})
    widths: Distribution | None  # of images
    heights: Distribution | None
    text_heights: Distribution | None  # the lower side of the box around each polygon
    aspects: Distribution | None  # longer over lower side of that box


def page_stats(data: Annotations, scan: ImageScan) -> PageStats:
    """Compute the statistics of `data`, with the scanned image sizes."""
    sizes = scan.sizes[(scan.sizes > 0).all(1)]
    counts = np.bincount(data.image_id, minlength=len(data.images))
    lower, _ = text_sizes(data, scan)
    lengths, numbers = np.unique(np.diff(data.offsets), return_counts=True)
    left, top, right, bottom = boxes(data.points, data.offsets)
    extent = np.sort(np.array([right - left, bottom - top]), axis=0)
    aspects = extent[1][extent[0] > 0] / extent[0][extent[0] > 0]  # NaN, of no points, is not above 0
    return PageStats(
        format=data.format,
        images=len(data.images),
        instances=len(data),
        ignored=int(data.ignore.sum()),
        empty_images=int((counts == 0).sum()),
        points=dict(zip(lengths.tolist(), numbers.tolist(), strict=True)),
        per_image=distribution(counts),
        widths=distribution(sizes[:, 0]),
        heights=distribution(sizes[:, 1]),
        text_heights=distribution(lower),
        aspects=distribution(aspects),
    )


def distribution(values: ArrayLike) -> Distribution | None:
    """Return the distribution of the finite `values`; bins are logarithmic if the maximum is above 20 medians."""
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return None
    smallest, low, median, high, largest = np.percentile(numbers, (0, 10, 50, 90, 100)).tolist()
    if largest > 20 * max(median, 1e-9) and smallest > 0:
        edges = np.geomspace(smallest, largest, _BINS + 1)
    else:
        edges = np.linspace(smallest, largest if largest > smallest else smallest + 1, _BINS + 1)
    edges[-1] = max(edges[-1], largest)
    edges[0] = min(edges[0], smallest)
    counts, _ = np.histogram(numbers, edges)
    return Distribution(smallest, low, median, high, largest, edges.tolist(), counts.tolist())
