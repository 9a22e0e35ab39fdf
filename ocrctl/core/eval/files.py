"""Score result files of any tool against the ground truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ocrctl.core.eval.result_lines import inverted_box, read_results, unquoted
from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats import box_points, cleval_zip, detect_pages
from ocrctl.data.formats.spec import Spec, open_annotations, parse_spec
from ocrctl.errors import InputError, UsageError
from ocrctl.metrics.instances import Instances, from_annotations
from ocrctl.metrics.pages import THRESHOLDS, PageScores, Search, find_threshold, score_pages

LINES = ("icdar13", "icdar15", "cleval-zip")  # formats whose lines may be results
SCORE_KEYS = ("score", "confidence", "det_score", "probability")  # of annotations with a score


@dataclass(frozen=True)
class FilesOptions:
    """Options of scoring: `scores`: lines of `found` have a score after their points; `threshold`: minimum score;
    `search`: also find the best threshold."""

    truth: str
    found: str
    protocol: str = "hmean"
    e2e: bool = False
    scores: bool = False
    threshold: float | None = None
    search: bool = False


@dataclass(frozen=True)
class FilesResult:
    """The scores, and the unmatched images."""

    truth: str
    found: str
    scores: PageScores
    search: list[Search]  # best first; empty unless requested
    without_prediction: list[str]  # images missing in --pred: all their words count as missed
    without_truth: list[str]  # images missing in --gt: not scored
    pages: Annotations  # the truth
    found_pages: Instances


def score_files(options: FilesOptions, progress: Callable[[int, int], None] = lambda done, total: None) -> FilesResult:
    """Read both sides, match their images by name, and score. `progress` counts the steps: each side that is read, the
    scores, and those of each threshold of a search.

    Raises UsageError, or InputError naming file and line, or both sides when they share no image.
    """
    steps = 3 + (len(THRESHOLDS) if options.search else 0)
    progress(0, steps)
    truth = _truth(options.truth)
    progress(1, steps)
    found, scores = _found(options)
    progress(2, steps)
    if scores is None and (options.threshold is not None or options.search):
        raise UsageError(
            f"{options.found}: contains no scores to compare with a threshold.",
            hint="--scores: its lines have a score after the points",
        )
    order, unknown = _paired(truth, found)
    _check_finite(truth)
    _check_finite(found)
    side = ordered(from_annotations(found, scores), options.protocol).select_images(order)
    words = from_annotations(truth)
    result = score_pages(truth.images, words, side, options.protocol, e2e=options.e2e, threshold=options.threshold)
    progress(3, steps)
    search: list[Search] = []
    if options.search:
        search = find_threshold(
            words, side, options.protocol, options.e2e, lambda done, total: progress(3 + done, steps)
        )
    missing = [truth.images[i] for i, number in enumerate(order) if number < 0]
    return FilesResult(options.truth, options.found, result, search, missing, unknown, truth, side)


def _truth(raw: str) -> Annotations:
    data = open_annotations(raw)
    _expect_pages(data, raw)
    if data.format not in LINES:
        return data
    _check_boxes(data)
    texts = [unquoted(text) for text in data.texts]
    return replace(data, texts=texts, ignore=data.ignore | np.array([text == IGNORED for text in texts], np.bool_))


def _check_boxes(data: Annotations) -> None:
    """Raise InputError for a box of ground truth whose right or bottom side is before its left or top side."""
    members = np.flatnonzero(np.diff(data.offsets) == 4)
    first = data.offsets[members]
    turned = (data.points[first] > data.points[first + 2]).any(1)  # of a box: left, top and right, bottom
    for i in members[turned].tolist():
        points = data.points[data.offsets[i] : data.offsets[i + 1]]
        box = (*points[0].tolist(), *points[2].tolist())
        if not (np.array(box_points(*box)).reshape(-1, 2) == points).all():
            continue  # a quad
        if data.format == "icdar13" or (data.format == cleval_zip.NAME and cleval_zip.holds_boxes(Path(data.name))):
            raise inverted_box(data.where(i), box)


def _found(options: FilesOptions) -> tuple[Annotations, NDArray[np.float64] | None]:
    spec = parse_spec(options.found)
    path = _result_lines_path(spec)
    if path is not None:
        return read_results(path, options.scores)
    data = open_annotations(spec)
    _expect_pages(data, options.found)
    held = [next((data.extras.get(i, {}).get(key) for key in SCORE_KEYS if key in data.extras.get(i, {})), None)
            for i in range(len(data))]  # fmt: skip
    if all(score is None for score in held):
        if options.scores:
            raise UsageError(f"{options.found}: --scores requires result lines, this is {data.format} without scores.")
        return data, None
    for i, score in enumerate(held):
        if not isinstance(score, (int, float)) or not np.isfinite(score):
            raise InputError(f"{data.where(i)}: expected a score, found {score!r}.")
    return data, np.array(held, np.float64)


def _result_lines_path(spec: Spec) -> Path | None:
    """Return the folder, zip or text file of result lines at `spec`; None for another format."""
    path = spec.path
    if path is None or spec.format not in (None, *LINES):
        return None
    found = [(pages.NAME, location) for pages, location in detect_pages(path)]
    if any(name not in LINES for name, _ in found) and spec.format is None:
        return None
    if path.is_file():
        suffix = path.suffix.lower()
        return path if suffix == ".zip" or (suffix == ".txt" and (found or not path.read_bytes().strip())) else None
    within = {location for _, location in found if location.is_dir()}
    if len(within) == 1:
        return within.pop()
    return path if any(entry.suffix.lower() == ".txt" for entry in path.iterdir()) else None


def _expect_pages(data: Annotations, raw: str) -> None:
    if data.words is not None:
        raise UsageError(f"{raw}: {data.format} contains word images, expected pages with polygons.")


def _check_finite(data: Annotations) -> None:
    bad = np.flatnonzero(~np.isfinite(data.points).all(1))
    if len(bad):
        instance = int(np.searchsorted(data.offsets, bad[0], side="right")) - 1
        raise InputError(f"{data.where(instance)}: a coordinate is not finite.")


def _paired(truth: Annotations, found: Annotations) -> tuple[list[int], list[str]]:
    """Return for each ground-truth image its number in `found` (-1: none), and the images of `found` without truth.

    Names are compared without suffix, and with their folders if more of them match that way.
    """
    whole = [[str(PurePosixPath(name).with_suffix("")) for name in data.images] for data in (truth, found)]
    bare = [[PurePosixPath(name).stem for name in data.images] for data in (truth, found)]
    names, others = max((whole, bare), key=lambda pair: len(set(pair[0]) & set(pair[1])))
    for data, side in ((truth, names), (found, others)):
        twice = [name for name, count in Counter(side).items() if count > 1]
        if twice:
            first, second = (data.images[i] for i in [i for i, name in enumerate(side) if name == twice[0]][:2])
            raise InputError(f"{data.name}: {first} and {second} have the same name, so their results are ambiguous.")
    index = {name: i for i, name in enumerate(others)}
    order = [index.get(name, -1) for name in names]
    if max(order, default=-1) < 0:
        raise InputError(
            f"{found.name}: no image of it is in {truth.name} ({others[0]} against {names[0]}).",
            hint="names are compared without suffix and without the prefixes gt_ and res_",
        )
    known = set(names)
    return order, [found.images[i] for i, name in enumerate(others) if name not in known]


def ordered(side: Instances, protocol: str) -> Instances:
    """Sort by score within an image, best first, as both official scripts; the IoU one breaks ties by points and
    text."""
    if side.scores is None:
        return side
    image, scores = side.image.tolist(), side.scores.tolist()

    def key(i: int) -> tuple[object, ...]:
        if protocol != "hmean":
            return (-image[i], scores[i])
        points = side.points[side.offsets[i] : side.offsets[i + 1]].ravel().tolist()
        return (-image[i], scores[i], points, side.texts[i])

    return side.pick(np.array(sorted(range(len(side)), key=key, reverse=True), np.int64))


def names_of(images: Sequence[str], shown: int) -> str:
    """Return `img_1.jpg, img_7.jpg and 12 more`."""
    more = f" and {len(images) - shown} more" if len(images) > shown else ""
    return ", ".join(images[:shown]) + more
