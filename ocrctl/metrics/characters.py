"""Count characters that were confused, and those that a model cannot write: reported, never dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from ocrctl.metrics.recognition import get_protocol


@dataclass(frozen=True)
class Confusion:
    """Substitution of `truth` by `prediction`, with its count; an empty `prediction` is a deletion, an empty `truth` an
    insertion."""

    truth: str
    prediction: str
    count: int


def top_confusions(pairs: Iterable[tuple[str, str]], limit: int = 20) -> list[Confusion]:
    """Return the `limit` most frequent character edits over (truth, prediction) pairs, ties in code point order.

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


@dataclass(frozen=True)
class UnknownCharacters:
    """Ground-truth characters a model cannot write under a protocol; the labels that hold them can only be missed."""

    model: str
    protocol: str
    labels: int  # labels with at least one such character
    share: float  # of all labels that the protocol keeps: accuracy cannot exceed 1 - share
    counts: dict[str, int]  # character -> occurrences, most frequent first


def unknown_characters(model: str, charset: str, truths: Sequence[str], protocol: str) -> UnknownCharacters | None:
    """Count the characters of `truths`, under `protocol`, that are not in `charset`; None if all are.

    The charset is normalised as the labels are: under `str36` a model that writes only capitals can write "a".
    """
    normalise = get_protocol(protocol)
    writable = {char for single in charset for char in normalise(single)}
    kept = [text for text in map(normalise, truths) if text]
    missing = [[char for char in text if char not in writable] for text in kept]
    labels = sum(bool(chars) for chars in missing)
    if labels == 0:
        return None
    counts = Counter(char for chars in missing for char in chars)
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return UnknownCharacters(model, protocol, labels, labels / len(kept), ordered)
