"""Flags of missed, split, false and merged polygons, for reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrctl.metrics.cleval import CLEvalScores
from ocrctl.metrics.hmean import Matching


@dataclass(frozen=True)
class Marks:
    """Flags to draw for each of the G ground-truth and D found polygons."""

    missed: NDArray[np.bool_]  # (G,) not ignored and not found
    split: NDArray[np.bool_]  # (G,) found by several
    truth_ignored: NDArray[np.bool_]  # (G,) don't-care
    false: NDArray[np.bool_]  # (D,) not ignored and without a word
    merged: NDArray[np.bool_]  # (D,) covers several
    found_ignored: NDArray[np.bool_]  # (D,) on don't-care, or below the threshold


def hmean_marks(matching: Matching) -> Marks:
    """Return the flags of IoU matching, which has no splits."""
    none = np.zeros(len(matching.truth_ignored), np.bool_)
    return Marks(matching.missed, none, matching.truth_ignored, matching.false, matching.merged, matching.found_ignored)


def cleval_marks(scores: CLEvalScores, kept: NDArray[np.bool_] | None = None) -> Marks:
    """Return the flags of CLEval; `kept` are the detections that `scores` covers, None: all."""
    links = scores.links
    found = np.bincount(links.truth_of, minlength=len(links.truth_ignored)) > 0
    held = np.bincount(links.found_of, minlength=len(links.found_ignored)) > 0
    rows = np.flatnonzero(np.ones(len(held), np.bool_) if kept is None else kept)

    def spread(flags: NDArray[np.bool_], rest: bool) -> NDArray[np.bool_]:
        full = np.full(len(held) if kept is None else len(kept), rest)
        full[rows] = flags
        return full

    return Marks(
        ~found & ~links.truth_ignored, scores.truth.several > 0, links.truth_ignored,
        spread(~held & ~links.found_ignored, False), spread(scores.found.several > 0, False),
        spread(links.found_ignored, True),
    )  # fmt: skip
