"""Detection by IoU, as in ICDAR 2015 (Karatzas et al. 2015, "ICDAR 2015 competition on Robust Reading").

As the official script of task 4.1: a detection of which more than half lies on one don't-care polygon is ignored; then
each polygon that is not ignored, in order, takes the first free detection, in order, with which its intersection over
union is more than 0.5. Totals are sums over images, and precision, recall and their harmonic mean come from them.

A polygon that crosses itself is dropped from either side before anything is matched, as in the shapely version of that
script, with which DBNet and PaddleOCR report. The version with Polygon3 keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ocrctl.metrics.instances import Instances
from ocrctl.metrics.iou import areas, bounds, crossed, heights, meeting, shared_areas

Ints = NDArray[np.int64]

IOU = 0.5  # a match has more
ON_IGNORED = 0.5  # share of a detection on one don't-care polygon, above which it is ignored
SIZES = (0.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0)  # pixels of text height where a row begins
_SIGNS = frozenset("!?.:,*\"()·[]/'")


@dataclass(frozen=True)
class HmeanCounts:
    """Number of polygons and detections that are not ignored, and of matched pairs."""

    truths: int
    detections: int
    matched: int

    @property
    def recall(self) -> float:
        """Return the share of polygons that were found; 0 without any."""
        return self.matched / self.truths if self.truths else 0.0

    @property
    def precision(self) -> float:
        """Return the share of detections that match a polygon; 0 without any."""
        return self.matched / self.detections if self.detections else 0.0

    @property
    def hmean(self) -> float:
        """Return the harmonic mean of recall and precision."""
        return harmonic(self.recall, self.precision)


@dataclass(frozen=True)
class Matching:
    """Pairs of G polygons and D detections, each numbered through all images."""

    truth_match: Ints  # (G,) its detection, -1: none
    found_match: Ints  # (D,) its polygon, -1: none
    truth_ignored: NDArray[np.bool_]  # (G,) don't-care, or dropped
    found_ignored: NDArray[np.bool_]  # (D,) on a don't-care polygon, below the threshold, or dropped
    truth_dropped: NDArray[np.bool_]  # (G,) crosses itself
    found_dropped: NDArray[np.bool_]  # (D,) crosses itself
    merged: NDArray[np.bool_]  # (D,) contains more than half of each of two polygons that are not ignored
    truth_image: Ints  # (G,)
    found_image: Ints  # (D,)
    truth_height: NDArray[np.float64]  # (G,) pixels
    found_height: NDArray[np.float64]  # (D,)
    num_images: int

    @property
    def missed(self) -> NDArray[np.bool_]:
        """Return a flag (G,) for each polygon that is not ignored and was not found."""
        return (self.truth_match < 0) & ~self.truth_ignored

    @property
    def false(self) -> NDArray[np.bool_]:
        """Return a flag (D,) for each detection that is not ignored and matches no polygon."""
        return (self.found_match < 0) & ~self.found_ignored

    def dropped_by_image(self) -> tuple[list[int], list[int]]:
        """Count for each image the ground-truth polygons and the detections that cross themselves."""
        sides = (self.truth_image[self.truth_dropped], self.found_image[self.found_dropped])
        truths, detections = (np.bincount(side, minlength=self.num_images).tolist() for side in sides)
        return truths, detections

    def reading(self, texts: Sequence[str], found_texts: Sequence[str]) -> Matching:
        """Keep the pairs whose texts match, too: end to end, ICDAR 2015 task 4.4. texts (G,), found_texts (D,)."""
        truth_match, found_match = self.truth_match.copy(), self.found_match.copy()
        for truth in np.flatnonzero(truth_match >= 0).tolist():
            found = int(truth_match[truth])
            if not same_word(texts[truth], found_texts[found]):
                truth_match[truth] = found_match[found] = -1
        return replace(self, truth_match=truth_match, found_match=found_match)

    def total(self) -> HmeanCounts:
        """Count over all images."""
        matched = int((self.truth_match >= 0).sum())
        return HmeanCounts(int((~self.truth_ignored).sum()), int((~self.found_ignored).sum()), matched)

    def by_image(self) -> list[HmeanCounts]:
        """Count for each image."""
        rows = (self.truth_image[~self.truth_ignored], self.found_image[~self.found_ignored])
        hits = self.truth_image[self.truth_match >= 0]
        columns = [np.bincount(row, minlength=self.num_images).tolist() for row in (*rows, hits)]
        return [HmeanCounts(*counts) for counts in zip(*columns, strict=True)]

    def by_size(self, sizes: Iterable[float] = SIZES) -> list[tuple[float, HmeanCounts]]:
        """Count by text height: non-empty rows (minimum height in pixels, counts), smallest first; their sum is the
        total.

        A pair belongs to the row of its polygon, an unmatched detection to the row of its own height.
        """
        edges = np.array([*sizes])
        truth_row = np.searchsorted(edges, self.truth_height, side="right") - 1
        found_row = np.searchsorted(edges, self.found_height, side="right") - 1
        rows = (truth_row[~self.truth_ignored], found_row[self.false], truth_row[self.truth_match >= 0])
        truths, false, matched = (np.bincount(row, minlength=len(edges)).tolist() for row in rows)
        counts = [HmeanCounts(t, f + m, m) for t, f, m in zip(truths, false, matched, strict=True)]
        return [(float(edge), row) for edge, row in zip(edges, counts, strict=True) if row.truths or row.detections]


class Pairs:
    """Overlaps of two sets of polygons, computed once for `match` at any threshold of the scores.

    Raises ValueError when they have different numbers of images.
    """

    def __init__(self, truth: Instances, found: Instances) -> None:
        if truth.num_images != found.num_images:
            raise ValueError(f"{truth.num_images} images of polygons, but {found.num_images} of detections")
        self.truth, self.found = truth, found
        one, two = (truth.points, truth.offsets), (found.points, found.offsets)
        first, second = meeting(bounds(*one), truth.spans, bounds(*two), found.spans)
        shared = shared_areas(*one, *two, first, second)
        some = shared > 0
        self._first, self._second, shared = first[some], second[some], shared[some]
        size, found_size = areas(*one)[self._first], areas(*two)[self._second]
        with np.errstate(divide="ignore", invalid="ignore"):
            self._iou = shared / (size + found_size - shared)
            self._of_truth, self._of_found = shared / size, shared / found_size
        self._heights = heights(*one), heights(*two)
        self._dropped = crossed(*one), crossed(*two)

    def match(self, min_score: float | None = None, iou: float = IOU) -> Matching:
        """Pair polygons and detections with a score of at least `min_score` (None: all)."""
        truth, found = self.truth, self.found
        below = np.zeros(len(found), np.bool_)
        if min_score is not None:
            if found.scores is None:
                raise ValueError("the detections have no scores to compare with a threshold")
            below = found.scores < min_score
        truth_dropped, found_dropped = self._dropped
        truth_ignored, found_ignored = truth.ignore | truth_dropped, below | found_dropped
        on_ignored = (truth.ignore & ~truth_dropped)[self._first] & _above(self._of_found, ON_IGNORED)
        found_ignored[self._second[on_ignored]] = True
        counted = ~truth_ignored[self._first] & ~found_ignored[self._second]
        pairs = np.flatnonzero(counted & _above(self._iou, iou))
        truth_match, found_match = np.full(len(truth), -1), np.full(len(found), -1)
        for a, b in zip(self._first[pairs].tolist(), self._second[pairs].tolist(), strict=True):
            if truth_match[a] < 0 and found_match[b] < 0:
                truth_match[a], found_match[b] = b, a
        inside = counted & _above(self._of_truth, 0.5)
        merged = np.bincount(self._second[inside], minlength=len(found)) > 1
        return Matching(
            truth_match, found_match, truth_ignored, found_ignored, truth_dropped, found_dropped, merged, truth.image,
            found.image, *self._heights, truth.num_images,
        )  # fmt: skip


def match(truth: Instances, found: Instances, min_score: float | None = None) -> Matching:
    """Pair polygons and detections of the same images. Raises ValueError when the numbers of images differ."""
    return Pairs(truth, found).match(min_score)


def same_word(truth: str, read: str) -> bool:
    """Compare a text with the ground truth as task 4.4 does: without case, and a sign at either end of the truth
    may be left out."""
    truth, read = truth.upper(), read.upper()
    if truth == read:
        return True
    first, last = truth[:1] in _SIGNS, truth[-1:] in _SIGNS
    kept = ((truth[1:], first), (truth[:-1], last), (truth[1:-1], first and last))
    return bool(truth) and any(may and text == read for text, may in kept)


def harmonic(recall: float, precision: float) -> float:
    """Return the harmonic mean; 0 when both are."""
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0


def _above(shares: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Where a share is more than `limit`; areas are exact to some 1e-12, so that a half is not taken for more."""
    return np.isfinite(shares) & (shares > limit + 1e-9)
