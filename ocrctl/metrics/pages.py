"""Score found polygons under a protocol, for the terminal, the JSON output and the HTML report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.config.suggest import did_you_mean
from ocrctl.errors import UsageError
from ocrctl.metrics.cleval import CharCounts, CLEvalCounts, cleval
from ocrctl.metrics.hmean import HmeanCounts, Matching, Pairs
from ocrctl.metrics.instances import Instances
from ocrctl.metrics.page_marks import Marks, cleval_marks, hmean_marks

PAGE_PROTOCOLS = ("hmean", "cleval")
METRICS = ("recall", "precision", "hmean")
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))

_ERRORS = ("missed", "false", "merged")

Row = dict[str, Any]  # counts and scores; those of reading in a row within, `e2e`; of CLEval those of boxes, too: `det`


@dataclass(frozen=True)
class PageScores:
    """Scores of found polygons under one protocol; `threshold`: minimum score of a detection, None: all are kept."""

    protocol: str
    e2e: bool
    threshold: float | None
    total: Row
    by_size: list[Row]  # `height`: pixels from which on; smallest first
    by_image: list[Row]  # `image`: its name; in the order given
    marks: Marks
    dropped: tuple[str, ...] = ()  # images with polygons that cross themselves, which hmean drops

    def metric(self, name: str) -> float:
        """Return `recall`, `precision` or `hmean` of detection, or `e2e.hmean` etc. Raises UsageError for others."""
        check_metrics([name], self.protocol, self.e2e)
        part, _, plain = name.rpartition(".")
        row = self.total if self.protocol == "hmean" and not part else self.total[part or "det"]
        return float(row[plain])


@dataclass(frozen=True)
class Search:
    """Scores of the detections with a score of at least `threshold`."""

    threshold: float
    recall: float
    precision: float
    hmean: float


def score_pages(
    names: Sequence[str],
    truth: Instances,
    found: Instances,
    protocol: str = "hmean",
    *,
    e2e: bool = False,
    threshold: float | None = None,
) -> PageScores:
    """Score `found` against `truth`, image by image; `names` (I,) are the image names.

    `threshold`: minimum score of a detection. `e2e`: score the texts, too. Raises UsageError for an unknown protocol,
    ValueError when the numbers of images differ or there are no scores for the threshold.
    """
    check_protocol(protocol)
    if protocol == "hmean":
        matching = Pairs(truth, found).match(threshold)
        read = matching.reading(truth.texts, found.texts) if e2e else None
        rows = _with_reading([matching.total()], [read.total()] if read else None)
        errors = {name: int(getattr(matching, name).sum()) for name in _ERRORS}
        errors |= {
            "ignored": int((matching.truth_ignored & ~matching.truth_dropped).sum()),
            "left_out": int((matching.found_ignored & ~matching.found_dropped).sum()),
            "dropped_truths": int(matching.truth_dropped.sum()),
            "dropped_detections": int(matching.found_dropped.sum()),
        }
        dropped = zip(names, *matching.dropped_by_image(), strict=True)
        return PageScores(
            protocol, e2e, threshold,
            rows[0] | errors,
            _hmean_sizes(matching, read),
            [
                {"image": name, **row}
                for name, row in zip(
                    names, _with_reading(matching.by_image(), read.by_image() if read else None, True), strict=True
                )
            ],
            hmean_marks(matching),
            tuple(name for name, truths, detections in dropped if truths or detections),
        )  # fmt: skip
    kept = found if threshold is None else found.pick(np.flatnonzero(_scores(found) >= threshold))
    scores = cleval(truth, kept, e2e)
    marks = cleval_marks(scores, None if threshold is None else _scores(found) >= threshold)
    return PageScores(
        protocol, e2e, threshold,
        _cleval_row(scores.total()),
        [{"height": height, **_cleval_row(row)} for height, row in scores.by_size()],
        [{"image": name, **_cleval_row(row)} for name, row in zip(names, scores.by_image(), strict=True)],
        marks,
    )  # fmt: skip


def find_threshold(
    truth: Instances,
    found: Instances,
    protocol: str = "hmean",
    e2e: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Search]:
    """Score at each of THRESHOLDS, best hmean first (of equals the lower threshold); with `e2e` by the texts.
    `progress` counts the thresholds.

    The best one is chosen on the images that it is measured on: it is not a result, but a threshold for other images.
    Raises as `score_pages`.
    """
    check_protocol(protocol)
    pairs = Pairs(truth, found) if protocol == "hmean" else None
    rows = []
    for threshold in THRESHOLDS:
        if pairs is not None:
            matching = pairs.match(threshold)
            matching = matching.reading(truth.texts, found.texts) if e2e else matching
            counts: HmeanCounts | CharCounts | None = matching.total()
        else:
            total = cleval(truth, found.pick(np.flatnonzero(_scores(found) >= threshold)), e2e).total()
            counts = total.e2e if e2e else total.det
        assert counts is not None
        rows.append(Search(threshold, counts.recall, counts.precision, counts.hmean))
        progress(len(rows), len(THRESHOLDS))
    return sorted(rows, key=lambda row: -row.hmean)


def check_protocol(protocol: str) -> None:
    """Raise UsageError unless `protocol` is one of PAGE_PROTOCOLS."""
    if protocol not in PAGE_PROTOCOLS:
        known = ", ".join(PAGE_PROTOCOLS)
        raise UsageError(
            f"no protocol '{protocol}' for pages (known: {known}).{did_you_mean(protocol, PAGE_PROTOCOLS)}"
        )


def check_metrics(names: Iterable[str], protocol: str, e2e: bool) -> None:
    """Raise UsageError unless each is a metric of `protocol`: `hmean`, under cleval `det.hmean`, `e2e.hmean` too."""
    parts = ([""] if protocol == "hmean" else ["", "det."]) + (["e2e."] if e2e else [])
    known = [part + metric for part in parts for metric in METRICS]
    for name in names:
        if name not in known:
            raise UsageError(
                f"no metric '{name}' under {protocol} (known: {', '.join(known)}).{did_you_mean(name, known)}"
            )


def _scores(found: Instances) -> NDArray[np.float64]:
    if found.scores is None:
        raise ValueError("the detections have no scores to compare with a threshold")
    return found.scores


def _row(counts: HmeanCounts | CharCounts) -> Row:
    return {**{name: getattr(counts, name) for name in METRICS}, **asdict(counts)}


def _image_row(counts: HmeanCounts) -> Row:
    """Score one image as the official script: without a polygon that is not ignored, it is correct if nothing was
    found."""
    row = _row(counts)
    if not counts.truths:
        right = 0.0 if counts.detections else 1.0
        row |= {"recall": 1.0, "precision": right, "hmean": right}
    return row


def _with_reading(boxes: Sequence[HmeanCounts], read: Sequence[HmeanCounts] | None, each: bool = False) -> list[Row]:
    """Rows of counts, with those of reading as `e2e` within; `each`: of one image each."""
    make = _image_row if each else _row
    if read is None:
        return [make(counts) for counts in boxes]
    return [{**make(counts), "e2e": make(right)} for counts, right in zip(boxes, read, strict=True)]


def _hmean_sizes(matching: Matching, read: Matching | None) -> list[Row]:
    boxes, right = dict(matching.by_size()), dict(read.by_size()) if read else None
    none = HmeanCounts(0, 0, 0)
    sizes = sorted({*boxes, *(right or ())})
    rows = _with_reading(
        [boxes.get(size, none) for size in sizes], None if right is None else [right.get(size, none) for size in sizes]
    )
    return [{"height": size, **row} for size, row in zip(sizes, rows, strict=True)]


def _cleval_row(counts: CLEvalCounts) -> Row:
    return {
        "det": _row(counts.det),
        "e2e": _row(counts.e2e) if counts.e2e is not None else None,
        "num_splitted": counts.num_splitted,
        "num_merged": counts.num_merged,
        "num_char_overlapped": counts.num_char_overlapped,
    }
