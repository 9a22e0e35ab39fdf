"""Findings of the rules, stored as index arrays per code, so that a million findings stay small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.polygons.codes import BY_NAME, CODES, Code, Severity

Indices = NDArray[np.int64]
_ORDER: tuple[Severity, ...] = ("info", "warning", "error")


@dataclass
class Hits:
    """Findings of one code: the instances or images (`indices`), values and notes for the message, and `others`, the
    instances or images that they are compared with (-1: none)."""

    code: Code
    indices: Indices
    values: NDArray[np.float64] | None = None
    notes: list[str] | None = None
    others: Indices | None = None

    def message(self, position: int) -> str:
        """Return the message of hit `position`."""
        value = float(self.values[position]) if self.values is not None else 0.0
        note = self.notes[position] if self.notes is not None else ""
        return self.code.message.format(value=value, note=note)


@dataclass
class Findings:
    """All hits, by code."""

    hits: dict[str, Hits] = field(default_factory=dict)

    def add(
        self,
        name: str,
        indices: Any,
        values: Any = None,
        notes: Sequence[str] | None = None,
        others: Any = None,
    ) -> None:
        """Add hits of the code called `name`, if any. `values`, `notes` and `others` are parallel to `indices`."""
        chosen = np.asarray(indices, np.int64)
        if not len(chosen):
            return
        code = BY_NAME[name]
        new = Hits(
            code,
            chosen,
            None if values is None else np.asarray(values, np.float64),
            list(notes) if notes else None,
            None if others is None else np.asarray(others, np.int64),
        )
        old = self.hits.get(code.code)
        if old is not None:
            both = old.values is not None and new.values is not None
            if old.others is not None or new.others is not None:
                sides = [np.full(len(hits.indices), -1) if hits.others is None else hits.others for hits in (old, new)]
                new.others = np.concatenate(sides)
            new.indices = np.concatenate((old.indices, new.indices))
            new.values = np.concatenate((old.values, new.values)) if both else None  # type: ignore[arg-type]
            new.notes = (old.notes or []) + (new.notes or []) if old.notes or new.notes else None
        self.hits[code.code] = new

    def discard(self, indices: Mapping[int, object], *, images: bool) -> None:
        """Remove every hit of these instances and, with `images`, of the images of the same numbers."""
        chosen = np.fromiter(indices, np.int64, len(indices))
        for key, hits in list(self.hits.items()):
            if hits.code.on == "instance" or images:
                kept = np.flatnonzero(~np.isin(hits.indices, chosen))
                hits.indices = hits.indices[kept]
                hits.values = None if hits.values is None else hits.values[kept]
                hits.notes = None if hits.notes is None else [hits.notes[position] for position in kept.tolist()]
                if not len(kept):
                    del self.hits[key]

    def in_order(self) -> None:
        """Sort the hits of each code by index."""
        for hits in self.hits.values():
            if np.any(hits.indices[1:] < hits.indices[:-1]):
                order = np.argsort(hits.indices, kind="stable")
                hits.indices = hits.indices[order]
                hits.values = None if hits.values is None else hits.values[order]
                hits.notes = None if hits.notes is None else [hits.notes[position] for position in order]
                hits.others = None if hits.others is None else hits.others[order]

    def sorted(self) -> list[Hits]:
        """Return the hits with errors first, then by code."""
        return sorted(self.hits.values(), key=lambda hits: (-_ORDER.index(hits.code.severity), hits.code.code))

    def count(self, severity: Severity) -> int:
        """Return the number of hits of this severity."""
        return sum(len(hits.indices) for hits in self.hits.values() if hits.code.severity == severity)

    def of(self, *names: str) -> Indices:
        """Return the sorted, distinct indices of hits of the codes called `names`."""
        found = [self.hits[BY_NAME[name].code].indices for name in names if BY_NAME[name].code in self.hits]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def errors(self, on: str) -> Indices:
        """Return the sorted, distinct indices of instances or images (`on`) with an error."""
        codes = [hits.code for hits in self.hits.values()]
        return self.of(*(code.name for code in codes if code.on == on and code.severity == "error"))


def fails(code: Code, thresholds: Iterable[str]) -> bool:
    """Return whether one of `thresholds`, severities or codes, includes `code`."""
    for threshold in thresholds:
        if threshold in _ORDER:
            if _ORDER.index(code.severity) >= _ORDER.index(threshold):
                return True
        elif threshold in (code.code, code.name):
            return True
    return False


def known_threshold(text: str) -> bool:
    """Return whether `text` is a severity, or a code by number or name."""
    return text in _ORDER or text in CODES or text in BY_NAME
