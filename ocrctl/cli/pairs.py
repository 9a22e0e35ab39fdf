"""Parse `METRIC=X` options."""

from __future__ import annotations

from collections.abc import Sequence

from ocrctl.errors import UsageError


def number_pairs(
    texts: Sequence[str], option: str, example: str = "METRIC=NUMBER, such as cer=0.1 or exact=80%"
) -> dict[str, float]:
    """Parse ["cer=0.1", "exact=80%"] to {"cer": 0.1, "exact": 0.8}; a later one wins. Raises UsageError naming
    `option`."""
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


def tolerances(texts: Sequence[str]) -> dict[str, float]:
    """Parse --tolerance. Raises UsageError for a negative number."""
    found = number_pairs(texts, "--tolerance")
    for name, value in found.items():
        if value < 0:
            raise UsageError(f"--tolerance {name}={value:g}: expected a number >= 0.")
    return found


def gates(texts: Sequence[str]) -> dict[str, float]:
    """Parse --fail-under, each value a share. Raises UsageError for a value that every model or no model reaches, such
    as `cer=10` for 10 %."""
    found = number_pairs(texts, "--fail-under")
    for text in texts:
        name, _, number = text.partition("=")
        value = found[name.strip()]
        error_rate = name.strip().rpartition(".")[2] in ("cer", "empty")  # a CER may be above 100 %
        if value > 1 and not number.endswith("%"):
            raise UsageError(f"--fail-under {text}: {number} is {100 * value:g} %.", hint=f"{name}={number}% ?")
        if value < 0 or (value > 1 and not error_rate):
            raise UsageError(f"--fail-under {text}: expected a share from 0 to 100 %.")
    return found
