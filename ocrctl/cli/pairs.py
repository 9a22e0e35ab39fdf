"""`METRIC=X` options."""

from __future__ import annotations

from collections.abc import Sequence

from ocrctl.errors import UsageError


def number_pairs(
    texts: Sequence[str], option: str, example: str = "METRIC=NUMBER, such as cer=0.1 or exact=80%"
) -> dict[str, float]:
    """["cer=0.1", "exact=80%"] -> {"cer": 0.1, "exact": 0.8}; a later one wins. Raises UsageError naming `option`."""
    pairs: dict[str, float] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        percent = number.endswith("%")
        try:
            value = float(number.removesuffix("%"))
        except ValueError:
            value = float("nan")
        if not name or not equals or value != value:
            raise UsageError(f"{option} {text}: expected {example}.")
        pairs[name.strip()] = value / 100 if percent else value
    return pairs
