"""Which characters are taken for which: the edits of a minimal alignment, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True)
class Confusion:
    """`truth` read as `prediction`, `count` times; an empty `prediction` was missed, an empty `truth` was invented."""

    truth: str
    prediction: str
    count: int


def top_confusions(pairs: Iterable[tuple[str, str]], limit: int = 20) -> list[Confusion]:
    """The `limit` most frequent character edits over (truth, prediction) pairs, ties in code point order.

    A pair can have several minimal alignments; the one rapidfuzz finds is counted.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for truth, prediction in pairs:
        if truth == prediction:
            continue
        for edit in Levenshtein.editops(truth, prediction):
            read = "" if edit.tag == "delete" else prediction[edit.dest_pos]
            meant = "" if edit.tag == "insert" else truth[edit.src_pos]
            counts[meant, read] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(meant, read, count) for (meant, read), count in ordered[:limit]]
