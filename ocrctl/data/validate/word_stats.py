"""Statistics of word labels: lengths and characters."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class LabelStats:
    """Counts over NFC labels; lengths are in code points."""

    samples: int
    distinct: int  # different labels
    empty: int
    shortest: int
    longest: int
    mean_length: float
    median_length: float
    lengths: dict[int, int]  # length to labels, ascending
    characters: dict[str, int]  # character to occurrences, most frequent first


def label_stats(labels: Sequence[str]) -> LabelStats:
    """Compute the statistics of at least one label."""
    lengths = Counter(map(len, labels))
    characters: Counter[str] = Counter()
    for label in labels:
        characters.update(label)
    return LabelStats(
        samples=len(labels),
        distinct=len(set(labels)),
        empty=sum(not label.strip() for label in labels),
        shortest=min(lengths),
        longest=max(lengths),
        mean_length=sum(length * count for length, count in lengths.items()) / len(labels),
        median_length=float(median(map(len, labels))),
        lengths=dict(sorted(lengths.items())),
        characters=dict(sorted(characters.items(), key=lambda item: (-item[1], item[0]))),
    )


def scripts(characters: Mapping[str, int]) -> dict[str, int]:
    """Count the letters in `characters` (occurrences by character) by script, most first: `{"Latin": 812, "Hangul":
    4}`. The script is the first word of a letter's Unicode name."""
    counts: Counter[str] = Counter()
    for char, count in characters.items():
        if char.isalpha():
            name = unicodedata.name(char, "unnamed").partition(" ")[0]
            counts[name if name == "CJK" else name.capitalize()] += count
    return dict(counts.most_common())
