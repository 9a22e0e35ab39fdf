"""CLEval's counts by word and by detection, summed by image, by size or in total."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ocrctl.metrics.cleval_match import Links
from ocrctl.metrics.hmean import SIZES, harmonic

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CharCounts:
    """Counts of characters; the names are those of the published code."""

    num_char_gt: int  # in words that are not ignored
    num_char_det: int  # in detections that are not ignored
    num_char_tp_recall: int  # found, or read, by word
    num_char_tp_precision: int  # by detection: the same over all, not over a row by size
    gran_score_recall: float  # penalty for splits
    gran_score_precision: float  # penalty for merges
    num_char_fp: int  # found, or read, where there is nothing

    @property
    def recall(self) -> float:
        """Return the characters found, less the penalty, divided by all; 0 without any."""
        return (
            max(0.0, self.num_char_tp_recall - self.gran_score_recall) / self.num_char_gt if self.num_char_gt else 0.0
        )

    @property
    def precision(self) -> float:
        """Return the characters found, less the penalty, divided by those detected; 0 without any."""
        found = max(0.0, self.num_char_tp_precision - self.gran_score_precision)
        return found / self.num_char_det if self.num_char_det else 0.0

    @property
    def hmean(self) -> float:
        """Return the harmonic mean of recall and precision."""
        return harmonic(self.recall, self.precision)


@dataclass(frozen=True)
class CLEvalCounts:
    """Counts of CLEval: characters found, characters read (None unless requested), splits and merges."""

    det: CharCounts
    e2e: CharCounts | None
    num_splitted: int
    num_merged: int
    num_char_overlapped: int  # found again by another detection


@dataclass(frozen=True)
class Side:
    """Columns of the words or of the detections, (N,) each."""

    image: Ints
    height: Floats
    chars: Ints  # 0 where ignored
    found: Ints
    penalty: Floats
    false: Ints
    text_chars: Ints
    read: Ints
    several: Ints  # 1: split, or merged
    again: Ints  # characters found by another, too


@dataclass(frozen=True)
class CLEvalScores:
    """Counts of every word and every detection, to be summed in total, by image or by size."""

    links: Links
    truth: Side
    found: Side
    num_images: int
    reads: bool

    def total(self) -> CLEvalCounts:
        """Sum over all images."""
        return self._sums(np.zeros(len(self.truth.image), np.int64), np.zeros(len(self.found.image), np.int64), 1)[0]

    def by_image(self) -> list[CLEvalCounts]:
        """Sum for each image."""
        return self._sums(self.truth.image, self.found.image, self.num_images)

    def by_size(self, sizes: Iterable[float] = SIZES) -> list[tuple[float, CLEvalCounts]]:
        """Sum by text height: non-empty rows (minimum height in pixels, counts), smallest first; their sum is the
        total.

        Counts of words belong to the row of the word, counts of detections to that of the detection.
        """
        edges = np.array([*sizes])
        rows = [np.searchsorted(edges, side.height, side="right") - 1 for side in (self.truth, self.found)]
        counts = self._sums(rows[0], rows[1], len(edges))
        named = zip(edges.tolist(), counts, strict=True)
        return [(edge, row) for edge, row in named if row.det.num_char_gt or row.det.num_char_det]

    def _sums(self, truth_row: Ints, found_row: Ints, rows: int) -> list[CLEvalCounts]:
        truth, found = self.truth, self.found

        def add(row: Ints, values: NDArray[np.generic]) -> list[float]:
            return np.bincount(row, values, rows).tolist()  # type: ignore[arg-type]

        splits, merges = add(truth_row, truth.penalty), add(found_row, found.penalty)
        det = zip(
            add(truth_row, truth.chars), add(found_row, found.chars), add(truth_row, truth.found),
            add(found_row, found.found), splits, merges, add(found_row, found.false), strict=True,
        )  # fmt: skip
        unread = found.text_chars - found.read
        e2e = zip(
            add(truth_row, truth.chars), add(found_row, found.text_chars), add(truth_row, truth.read),
            add(found_row, found.read), splits, merges, add(found_row, unread), strict=True,
        )  # fmt: skip
        others = zip(
            add(truth_row, truth.several), add(found_row, found.several), add(truth_row, truth.again), strict=True
        )
        return [
            CLEvalCounts(_chars(*one), _chars(*two) if self.reads else None, int(split), int(merged), int(again))
            for one, two, (split, merged, again) in zip(det, e2e, others, strict=True)
        ]


def _chars(*values: float) -> CharCounts:
    kinds = [float if field.name.startswith("gran") else int for field in fields(CharCounts)]
    return CharCounts(*(kind(value) for kind, value in zip(kinds, values, strict=True)))  # type: ignore[arg-type]
