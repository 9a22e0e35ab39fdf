"""End-to-end part of CLEval: how many characters of a word its detections read (Baek et al. 2020, section 3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import LCSseq

Ints = NDArray[np.int64]


def common_lengths(texts: Sequence[str], others: Sequence[str]) -> Ints:
    """Compute (n,) the length of the longest common subsequence of each pair, in code points."""
    if not texts:
        return np.zeros(0, np.int64)
    return np.asarray(process.cpdist(texts, others, scorer=LCSseq.similarity, dtype=np.int64))


def common_subsequence(text: str, other: str) -> str:
    """Return the longest common subsequence; of several, the one that the published code finds.

    From the end: equal characters belong to it; else the last one of `text` is given up where that alone keeps the
    length, that of `other` where not.
    """
    if _within(text, other):
        return text
    if _within(other, text):
        return other
    rows = [[0] * (len(other) + 1)]
    for char in text:
        above, row = rows[-1], [0]
        for j, letter in enumerate(other):
            row.append(above[j] + 1 if char == letter else max(above[j + 1], row[j]))
        rows.append(row)
    i, j, found = len(text), len(other), []
    while i and j:
        if text[i - 1] == other[j - 1]:
            found.append(text[i - 1])
            i, j = i - 1, j - 1
        elif rows[i - 1][j] > rows[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return "".join(reversed(found))


def _within(text: str, other: str) -> bool:
    rest = iter(other)
    return all(char in rest for char in text)


def reading_order(inclusions: Sequence[Ints], found: Sequence[int]) -> list[int]:
    """Sort `found`, detections of one word, by the characters that they contain.

    inclusions: of each character of the word, the detections it lies in. A detection left when the characters have run
    out is appended; of several such only the first, as in the published code.
    """
    left, ordered = list(found), []
    for holders in inclusions:
        if len(left) == 1:
            break
        held = set(holders.tolist())
        first = next((detection for detection in left if detection in held), None)
        if first is not None:
            ordered.append(first)
            left.remove(first)
    return [*ordered, left[0]]


def take(word: str, unread: dict[int, str], order: Iterable[int]) -> int:
    """Count the characters of `word` that the detections in `order` read; they are removed from `unread`."""
    order = list(order)
    common = common_subsequence(word, "".join(unread[i] for i in order))
    for char in common:
        for i in order:
            if char in unread[i]:
                unread[i] = unread[i].replace(char, "", 1)
                break
    return len(common)


def walked(count: int, without: Sequence[int]) -> list[int]:
    """Return 0 to `count` - 1 except `without`, in the order in which the published code walks them: that of a Python
    set.

    A detection over several words gives its characters to the word that is counted first, so the order affects the
    counts.
    """
    return list(set(range(count)) - set(without))
