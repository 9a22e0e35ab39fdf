"""Validate the fields of a model card that was read from a file: types, ranges, and consistency.

Plain checks, not a pydantic model: `predict` with an ONNX file imports neither pydantic nor torch. Importing pydantic
would cost it 40 to 75 ms (pydantic_core alone 32 ms); these checks take 0.02 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ocrctl.config.card_ngram import CardNgram
from ocrctl.config.kept_aspect import KeptAspect

MAX_SIDE = 1 << 15  # pixels; the limit of page.side too
MAX_LABEL_LENGTH = 1 << 15  # characters
MAX_THRESHOLD = 1e6  # some thresholds are distances in pixels

Rule = tuple[str, Callable[[Any], bool]]


def is_number(value: Any) -> bool:
    """Return whether `value` is a finite int or float, and not a bool."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e308 and math.isfinite(value)


def _integer(low: int, high: int) -> Rule:
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return f"an integer from {low} to {high}", fits


def _numbers(value: Any) -> bool:
    return is_number(value) or (isinstance(value, list) and bool(value) and all(map(is_number, value)))


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _threshold(value: Any) -> bool:
    return isinstance(value, bool) or (is_number(value) and 0 <= value <= MAX_THRESHOLD)


def _thresholds(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_threshold, value.values()))


def _fields_of(kind: type[KeptAspect] | type[CardNgram]) -> Callable[[Any], bool]:
    """Return whether a value is null, or an object that `kind` can be built from."""

    def fits(value: Any) -> bool:
        try:
            return value is None or (isinstance(value, dict) and bool(kind.from_dict(value)))
        except ValueError:
            return False

    return fits


TEXT: Rule = ("a string", _text)
NUMBERS: Rule = ("a finite number, or a list of them", _numbers)
FIELDS: dict[str, Rule] = {
    "arch": TEXT,
    "task": TEXT,
    "charset": TEXT,
    "height": _integer(1, MAX_SIDE),
    "width": _integer(1, MAX_SIDE),
    "channels": ("1 or 3", lambda value: value in (1, 3) and isinstance(value, int) and not isinstance(value, bool)),
    "max_label_length": _integer(0, MAX_LABEL_LENGTH),
    "mean": NUMBERS,
    "std": NUMBERS,
    "preprocessing": TEXT,
    "thresholds": ("names with finite numbers from 0", _thresholds),
    "model": ("an object", lambda value: isinstance(value, dict)),
    "version": TEXT,
    "kept": ("the widths of a recogniser that keeps the aspect ratio, or null", _fields_of(KeptAspect)),
    "ngram": ("the texts and the weight of an n-gram model, or null", _fields_of(CardNgram)),
    "plugin": ("a string or null", lambda value: value is None or isinstance(value, str)),
}
# Fields of `model` that builders and decoders read; a plug-in may add others.
MODEL: dict[str, Rule] = {
    "dropout": ("a number from 0 and below 1", lambda value: is_number(value) and 0 <= value < 1),
    "decoding": TEXT,
    "refine": _integer(0, 10),
    "backbone": TEXT,
    "relative_bias": ("true or false", lambda value: isinstance(value, bool)),
    "window_size": _integer(0, 64),
    "cross_attention": ("deformable or full", lambda value: value in ("deformable", "full")),
    "points": _integer(1, 16),
    "strides": TEXT,
    "guidance": ("true or false", lambda value: isinstance(value, bool)),
    "unfold": ("true or false", lambda value: isinstance(value, bool)),
    "side": _integer(32, MAX_SIDE),
}


def card_problem(card: Mapping[str, Any]) -> str | None:
    """Return the first invalid field of `card` as "NAME should be WHAT, found VALUE"; None when all are valid."""
    for rules, values, prefix in ((FIELDS, card, ""), (MODEL, card.get("model"), "model.")):
        if not isinstance(values, Mapping):
            continue
        for name, (expected, fits) in rules.items():
            if name in values and not fits(values[name]):
                return should_be(prefix + name, expected, values[name])
    for name in ("mean", "std"):
        if isinstance(value := card.get(name), list) and len(value) not in (1, card["channels"]):
            return should_be(name, f"one number or {card['channels']}, one per channel", value)
    std = card.get("std", 1)
    if min(std if isinstance(std, list) else [std]) <= 0:
        return should_be("std", "greater than 0", std)
    keeps, kept = card.get("preprocessing") == "keep", card.get("kept")
    if keeps != (kept is not None):
        return should_be("kept", "set" if keeps else "null, since preprocessing is not keep", kept)
    if kept is not None and kept["max_width"] != card["width"]:
        return should_be("kept.max_width", f"{card['width']}, the width", kept["max_width"])
    if card["task"] == "recognition":
        for name in ("charset", "max_label_length"):
            if not card[name]:
                return should_be(name, "set for a recogniser", card[name])
    return None


def should_be(name: str, expected: str, found: Any) -> str:
    """Return "NAME should be EXPECTED, found FOUND", with a long value shortened."""
    shown = repr(found)
    return f"{name} should be {expected}, found {shown if len(shown) <= 60 else shown[:57] + '...'}"
