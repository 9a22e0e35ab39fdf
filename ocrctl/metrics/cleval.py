"""CLEval: text detection, and reading, counted in characters (Baek et al. 2020, https://arxiv.org/abs/2006.06244).

Characters are assumed at even distances along each word; a detection finds those inside it. Words and detections
are matched one to one, one to many (splits) and many to one (merges), each split or merge costing a character.
Every count of quads and boxes is that of the published code, PyPI `cleval` 0.1.1, whose names the counts carry. Its
code for polygons of other numbers of points stops with an error before it counts; here they are counted, with the
aspect of a word measured as for quads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ocrctl.metrics.cleval_chars import false_lengths, unknown_lengths
from ocrctl.metrics.cleval_counts import CharCounts, CLEvalCounts, CLEvalScores, Side
from ocrctl.metrics.cleval_match import Links, Rules, link
from ocrctl.metrics.cleval_text import common_lengths, reading_order, take, walked
from ocrctl.metrics.instances import Instances
from ocrctl.metrics.iou import heights

__all__ = ["CLEvalCounts", "CLEvalScores", "CharCounts", "Rules", "cleval"]

Ints = NDArray[np.int64]


def cleval(truth: Instances, found: Instances, e2e: bool = False, rules: Rules | None = None) -> CLEvalScores:
    """Count `found` against `truth`, image by image; `e2e` also compares their texts.

    Raises ValueError when the numbers of images differ.
    """
    rules = rules or Rules()
    links = link(truth, found, rules)
    counts, found_counts = ~links.truth_ignored, ~links.found_ignored
    split = np.bincount(links.truth_of, minlength=len(truth))
    merged = np.bincount(links.found_of, minlength=len(found))
    alone = found_counts & (merged == 0)
    false = np.where(alone, false_lengths(links.found_aspect), 0)
    held = np.bincount(links.found_of, links.inside, len(found)).astype(np.int64)
    chars = np.where(counts, links.lengths, 0)
    texts = [_text(text, a) for text, a in zip(found.texts, unknown_lengths(links.found_aspect).tolist(), strict=True)]
    words = truth.texts
    if not rules.case_sensitive:
        texts, words = [text.upper() for text in texts], [text.upper() for text in words]
    text_chars = np.where(found_counts, [len(text) for text in texts], 0) if e2e else np.zeros(len(found), np.int64)
    read, found_read = _read(truth, words, texts, links) if e2e else (np.zeros_like(chars), np.zeros_like(text_chars))
    again = np.bincount(links.truth_of, links.inside, len(truth)).astype(np.int64) - links.found_chars
    return CLEvalScores(
        links,
        Side(
            truth.image, heights(truth.points, truth.offsets), chars, links.found_chars,
            np.maximum(split - 1, 0) * rules.recall_penalty, np.zeros_like(chars), chars, read,
            (split > 1).astype(np.int64), again,
        ),
        Side(
            found.image, heights(found.points, found.offsets), held + false, links.claimed,
            np.maximum(merged - 1, 0) * rules.precision_penalty, false, text_chars, found_read,
            (merged > 1).astype(np.int64), np.zeros_like(held),
        ),
        truth.num_images,
        e2e,
    )  # fmt: skip


def _text(text: str, length: int) -> str:
    """Expand ###, which the published code treats as an unknown text."""
    return "#" * length if text == "###" else text


def _read(truth: Instances, words: list[str], texts: list[str], links: Links) -> tuple[Ints, Ints]:
    """Count the characters read of each word (G,) and of each detection (D,)."""
    read, found_read = np.zeros(len(truth), np.int64), np.zeros(len(texts), np.int64)
    split = np.bincount(links.truth_of, minlength=len(truth))
    merged = np.bincount(links.found_of, minlength=len(texts))
    single = (split[links.truth_of] == 1) & (merged[links.found_of] == 1)
    one, two = links.truth_of[single], links.found_of[single]
    read[one] = common_lengths([words[i] for i in one.tolist()], [texts[i] for i in two.tolist()])
    found_read[two] = read[one]
    rest = np.unique(links.truth_of[~single])
    members: dict[int, list[int]] = {}
    for a, b in zip(links.truth_of[~single].tolist(), links.found_of[~single].tolist(), strict=True):
        members.setdefault(a, []).append(b)
    unread = {b: texts[b] for found in members.values() for b in found}
    for image in np.unique(truth.image[rest]).tolist():
        start, stop = truth.spans[image], truth.spans[image + 1]
        for word in walked(int(stop - start), np.flatnonzero(truth.ignore[start:stop]).tolist()):
            found = members.get(word + int(start))
            if found:
                order = reading_order(links.holders(word + int(start)), found) if len(found) > 1 else found
                read[word + start] = take(words[word + int(start)], unread, order)
    for b, left in unread.items():
        found_read[b] = len(texts[b]) - len(left)
    return read, found_read
