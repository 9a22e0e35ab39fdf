"""Match words and detections as CLEval does (Baek et al. 2020, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from ocrctl.metrics.cleval_chars import Shapes, centres, inside, shapes, unknown_lengths
from ocrctl.metrics.instances import Instances
from ocrctl.metrics.iou import bounds, even_odd, meeting, shared_areas

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Singles = NDArray[np.float32]


@dataclass(frozen=True)
class Rules:
    """Parameters of the matching; the defaults are the published ones."""

    area_precision: float = 0.3  # minimum share of a detection on a word
    recall_penalty: float = 1.0  # penalty of a split in characters
    precision_penalty: float = 1.0  # penalty of a merge in characters
    upright: float = 0.5  # aspect below which a word runs downwards
    case_sensitive: bool = True


@dataclass(frozen=True)
class Links:
    """L pairs of a word and a detection that found some of it, ordered by word, then detection."""

    truth_of: Ints  # (L,)
    found_of: Ints  # (L,)
    inside: Ints  # (L,) characters of the word in the detection
    truth_ignored: Bools  # (G,) don't-care words
    found_ignored: Bools  # (D,) detections on don't-care words
    lengths: Ints  # (G,) characters
    found_chars: Ints  # (G,) characters in any linked detection
    claimed: Ints  # (D,) characters found first by this detection
    found_aspect: NDArray[np.float64]  # (D,)
    chars: Ints  # (R,) number, through all words, of each character in a linked detection, ascending
    holder: Ints  # (R,) that detection, ascending for each character
    first_char: Ints  # (G + 1,)

    def holders(self, word: int) -> list[Ints]:
        """Return for each character of `word` the linked detections that contain it."""
        start, stop = int(self.first_char[word]), int(self.first_char[word + 1])
        rows = np.searchsorted(self.chars, np.arange(start, stop + 1))
        return [self.holder[a:b] for a, b in pairwise(rows.tolist())]


def link(truth: Instances, found: Instances, rules: Rules) -> Links:
    """Match words and detections. Raises ValueError when the numbers of images differ."""
    if truth.num_images != found.num_images:
        raise ValueError(f"{truth.num_images} images of words, but {found.num_images} of detections")
    polygons = bool((np.diff(truth.offsets) != 4).any() or (np.diff(found.offsets) != 4).any())
    one, two = shapes(truth, polygons), shapes(found, polygons)
    words = truth.texts if rules.case_sensitive else [text.upper() for text in truth.texts]
    known = np.fromiter(map(len, words), np.int64, len(words))
    lengths = np.where(truth.ignore, unknown_lengths(one.aspect), known)
    around = bounds(truth.points, truth.offsets) + np.array([-1, -1, 1, 1])  # corners cut to whole pixels lie within
    first, second = meeting(around, truth.spans, bounds(two.points, two.offsets), found.spans)
    share = _shares(truth, one, two, first, second)

    first_char = np.concatenate(([0], np.cumsum(lengths)))
    pair = np.repeat(np.arange(len(first)), lengths[first])  # a row for each character of each pair
    char = first_char[first[pair]] + np.arange(len(pair)) - np.repeat(
        np.cumsum(lengths[first]) - lengths[first], lengths[first]
    )  # fmt: skip
    spots = centres(truth, one.aspect, lengths, rules.upright, polygons)
    hit = inside(spots[char], second[pair], two)
    pair, char = pair[hit], char[hit]
    held = np.bincount(pair, minlength=len(first))

    found_ignored = _on_ignored(truth, found, first, second, share, held, rules)
    linked = _linked(truth.ignore, found_ignored, first, second, share, held, rules)
    rows = np.flatnonzero(linked[pair])
    chars, holder = char[rows], second[pair[rows]]
    order = np.lexsort((holder, chars))
    chars, holder = chars[order], holder[order]
    new = np.ones(len(chars), np.bool_)
    new[1:] = chars[1:] != chars[:-1]
    owner = np.searchsorted(first_char, chars[new], side="right") - 1
    return Links(
        first[linked], second[linked], held[linked], truth.ignore, found_ignored, lengths,
        np.bincount(owner, minlength=len(truth)), np.bincount(holder[new], minlength=len(found)),
        two.aspect, chars, holder, first_char,
    )  # fmt: skip


def _shares(truth: Instances, one: Shapes, two: Shapes, first: Ints, second: Ints) -> Singles:
    """(K,) share of each detection on each word; of a don't-care word, what other words leave of it."""
    area = shared_areas(one.points, one.offsets, two.points, two.offsets, first, second)
    if truth.ignore.any() and not truth.ignore.all():
        covered, rests = _rests(truth, one)
        rows = np.flatnonzero(np.isin(first, covered))
        others, at = np.unique(second[rows], return_inverse=True)
        found = even_odd(two.points, two.offsets, others)[at]
        area[rows] = shapely.area(shapely.intersection(rests[np.searchsorted(covered, first[rows])], found))
    size = two.area[second]
    return np.divide(area, size, out=np.zeros(len(area)), where=size > 0).astype(np.float32)


def _rests(truth: Instances, one: Shapes) -> tuple[Ints, NDArray[np.object_]]:
    """Do-not-care words (C,) that others lie on, and what these leave of each (C,)."""
    boxes = bounds(one.points, one.offsets)
    a, b = meeting(boxes, truth.spans, boxes, truth.spans)
    apart = truth.ignore[a] & ~truth.ignore[b]
    a, b = a[apart], b[apart]
    on = shared_areas(one.points, one.offsets, one.points, one.offsets, a, b) > 0
    a, b = a[on], b[on]
    covered, at = np.unique(a, return_inverse=True)
    rests = even_odd(one.points, one.offsets, covered)
    words = even_odd(one.points, one.offsets, b)
    nth = np.arange(len(a)) - np.searchsorted(a, a)  # a is sorted: of each don't-care word, its first, its second ...
    for turn in range(int(nth.max(initial=-1)) + 1):
        rows = np.flatnonzero(nth == turn)
        rests[at[rows]] = shapely.difference(rests[at[rows]], words[rows])
    return covered, rests


def _on_ignored(
    truth: Instances, found: Instances, first: Ints, second: Ints, share: Singles, held: Ints, rules: Rules
) -> Bools:
    """(D,) detections that lie on one don't-care word, or on several together."""
    limit = np.float32(rules.area_precision)
    found_ignored = np.zeros(len(found), np.bool_)
    ignored = truth.ignore[first]
    found_ignored[second[ignored & (share >= limit)]] = True
    part = np.flatnonzero(ignored & (held > 0) & ~found_ignored[second])
    several = np.bincount(second[part], minlength=len(found)) > 1
    sums: dict[int, np.float32] = {}
    for k in part[several[second[part]]].tolist():  # single precision, as the published code adds
        sums[int(second[k])] = sums.get(int(second[k]), np.float32(0)) + share[k]
    found_ignored[[detection for detection, total in sums.items() if total >= limit]] = True
    return found_ignored


def _linked(
    ignored: Bools, found_ignored: Bools, first: Ints, second: Ints, share: Singles, held: Ints, rules: Rules
) -> Bools:
    """(K,) pairs that are matched one to one, one to many or many to one."""
    counts = ~ignored[first] & ~found_ignored[second]
    strong = (share >= np.float32(rules.area_precision)) & (held > 0)
    words, detections = len(ignored), len(found_ignored)
    of_word = np.bincount(first[strong], minlength=words)  # ignored ones are included here
    of_found = np.bincount(second[strong], minlength=detections)
    single = counts & strong & (of_word[first] == 1) & (of_found[second] == 1)
    several = counts & strong
    split = several & (np.bincount(first[several], minlength=words)[first] > 1)
    touched = counts & (held > 0)
    of_touched = np.bincount(second[touched], minlength=detections)
    covered = np.bincount(second[touched], share[touched].astype(np.float64), detections)
    merged = touched & ((of_touched > 1) & (covered >= rules.area_precision))[second]
    return np.asarray(single | split | merged)
