"""Label statistics as rows of a table; `lmdb info` and `dataset stats` show the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrctl.data.label_stats import LabelStats

_TOP = 30  # characters shown


def label_rows(stats: LabelStats) -> list[tuple[str, object]]:
    """(name, value) pairs, most general first."""
    top = "  ".join(f"{_visible(char)} {count}" for char, count in list(stats.characters.items())[:_TOP])
    return [
        ("samples", stats.samples),
        ("distinct labels", stats.distinct),
        ("empty labels", stats.empty),
        (
            "label length",
            f"{stats.shortest} to {stats.longest}, mean {stats.mean_length:.1f}, median {stats.median_length:g}",
        ),
        ("lengths", "  ".join(f"{length}:{count}" for length, count in stats.lengths.items())),
        ("distinct characters", len(stats.characters)),
        ("most frequent", top),
    ]


def _visible(char: str) -> str:
    return char if char.isprintable() and not char.isspace() else f"U+{ord(char):04X}"
