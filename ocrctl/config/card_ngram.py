"""The n-gram model that a recogniser's card carries: the texts that it is counted on, and its weight. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrctl.errors import counted

ENGLISH = "english"
BUILT_IN = (ENGLISH,)
"""names of word lists that come with ocrctl and its dependencies"""


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
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 10:
            raise ValueError("the weight should be 0 to 10")
        if not all(_is_source(source) for source in sources):
            raise ValueError("a source should be the name of a list, or texts with their numbers")
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
        and all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in source.values())
    )
