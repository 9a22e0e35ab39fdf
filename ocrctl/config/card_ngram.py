"""The n-gram model that a recogniser's card carries: the texts that it is counted on, and its weight. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrctl.errors import counted

ENGLISH = "english"
BUILT_IN = (ENGLISH,)
"""names of word lists that come with ocrctl and its dependencies"""
MAX_TEXTS, MAX_CHARACTERS = 200_000, 2_000_000  # of all texts of a card
MAX_NUMBER = 10**9  # how often a text may occur


@dataclass(frozen=True)
class CardNgram:
    """`sources`: collections of texts, each the name of a built-in list or how often every text occurs; `weight`: of
    the model's log probability beside that of the recogniser."""

    sources: tuple[str | dict[str, int], ...]
    weight: float

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> CardNgram:
        """Build it from the fields of a card. Raises ValueError for other fields and values."""
        sources, weight = raw.get("sources"), raw.get("weight")
        if set(raw) != {"sources", "weight"} or not isinstance(sources, (list, tuple)) or not sources:
            raise ValueError("expected sources and a weight")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight <= 10:
            raise ValueError("the weight should be above 0 and at most 10")
        if not all(_is_source(source) for source in sources):
            raise ValueError("a source should be the name of a list, or texts with their numbers")
        names = [source for source in sources if isinstance(source, str)]
        if len(names) != len(set(names)):
            raise ValueError("a list should be named once")
        texts = [text for source in sources if isinstance(source, dict) for text in source]
        if len(texts) > MAX_TEXTS or sum(map(len, texts)) > MAX_CHARACTERS:
            raise ValueError(f"expected at most {MAX_TEXTS:,} texts of {MAX_CHARACTERS:,} characters in all")
        return cls(tuple(sources), float(weight))

    def describe(self) -> str:
        """Return the sources for messages: `2,674 texts and english`."""
        return " and ".join(one if isinstance(one, str) else counted(len(one), "text") for one in self.sources)


def _is_source(source: Any) -> bool:
    if isinstance(source, str):
        return source in BUILT_IN
    return (
        isinstance(source, dict)
        and bool(source)
        and all(isinstance(n, int) and not isinstance(n, bool) and 0 < n <= MAX_NUMBER for n in source.values())
    )
