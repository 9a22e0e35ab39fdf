"""Format dataset statistics as table rows for `lmdb info` and `dataset stats`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrctl.data.validate.page_stats import Distribution, PageStats
    from ocrctl.data.validate.word_stats import LabelStats

_TOP = 30  # characters shown
_BARS = "·▁▂▃▄▅▆▇█"


def label_rows(stats: LabelStats) -> list[tuple[str, object]]:
    """Return (name, value) rows, most general first."""
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


def page_rows(stats: PageStats) -> list[tuple[str, object]]:
    """Return (name, value) rows of a dataset of pages, each distribution with a histogram of ten bins."""
    points = "  ".join(f"{points}:{count:,}" for points, count in stats.points.items())
    rows: list[tuple[str, object]] = [
        ("format", stats.format),
        ("images", stats.images),
        ("images without instances", stats.empty_images),
        ("instances", stats.instances),
        ("ignored instances", stats.ignored),
        ("points of a polygon", points),
    ]
    for name, spread in (
        ("instances per image", stats.per_image),
        ("image width", stats.widths),
        ("image height", stats.heights),
        ("text height", stats.text_heights),
        ("text aspect", stats.aspects),
    ):
        if spread is not None:
            rows.append((name, _spread(spread)))
    return rows


def _spread(spread: Distribution) -> str:
    most = max(spread.counts)
    bars = "".join(_BARS[0 if not count else 1 + (len(_BARS) - 2) * count // most] for count in spread.counts)
    return (
        f"{bars}  {spread.smallest:g} to {spread.largest:g}, median {spread.median:g},"
        f" 80 % within {spread.low:g} to {spread.high:g}"
    )


def _visible(char: str) -> str:
    return char if char.isprintable() and not char.isspace() else f"U+{ord(char):04X}"
