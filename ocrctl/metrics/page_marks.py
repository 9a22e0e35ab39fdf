"""Flags of missed, split, false and merged polygons, for reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocrctl.metrics.cleval import CLEvalScores
from ocrctl.metrics.hmean import Matching


@dataclass(frozen=True)
class Marks:
    """What to draw: a flag for each of the G true and D found polygons."""

    missed: NDArray[np.bool_]  # (G,) counts, and was not found
    split: NDArray[np.bool_]  # (G,) found by several
    ignored: NDArray[np.bool_]  # (G,) don't-care
    false: NDArray[np.bool_]  # (D,) counts, and is nothing
    merged: NDArray[np.bool_]  # (D,) lies on several
    left_out: NDArray[np.bool_]  # (D,) on don't-care, or below the threshold


def hmean_marks(matching: Matching) -> Marks:
    """Of IoU matching, which knows no splits."""
    none = np.zeros(len(matching.ignored), np.bool_)
    return Marks(matching.missed, none, matching.ignored, matching.false, matching.merged, matching.left_out)


def cleval_marks(scores: CLEvalScores, kept: NDArray[np.bool_] | None = None) -> Marks:
    """Of CLEval; `kept` says which of all detections `scores` are about, None: all."""
    links = scores.links
    found = np.bincount(links.truth_of, minlength=len(links.ignored)) > 0
    held = np.bincount(links.found_of, minlength=len(links.left_out)) > 0
    rows = np.flatnonzero(np.ones(len(held), np.bool_) if kept is None else kept)

    def spread(flags: NDArray[np.bool_], rest: bool) -> NDArray[np.bool_]:
        full = np.full(len(held) if kept is None else len(kept), rest)
        full[rows] = flags
        return full

    return Marks(
        ~found & ~links.ignored, scores.truth.several > 0, links.ignored,
        spread(~held & ~links.left_out, False), spread(scores.found.several > 0, False), spread(links.left_out, True),
    )  # fmt: skip
