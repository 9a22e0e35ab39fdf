"""Format text for terminals, TSV, spreadsheets and JSON: escape what data contains (file names, labels, predictions).

Standard library only: the command line imports this before anything else.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

# C0 and C1 controls, DEL, the two line separators, embedded and isolated changes of direction ("Trojan Source",
# https://trojansource.codes), and halves of surrogate pairs, which stand for bytes of a name that is not UTF-8.
_ABOVE_ASCII = "\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROL = re.compile(f"[\x00-\x1f{_ABOVE_ASCII}]")
_IN_JSON = re.compile(f"[{_ABOVE_ASCII}]")
_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # full-width forms: East Asian spreadsheets
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?%?")


def has_control(text: str) -> bool:
    """Return whether `visible` would change `text`."""
    return _CONTROL.search(text) is not None


def visible(text: str, keep: str = "") -> str:
    """Escape control characters: `\\t`, `\\n`, `\\r`, `\\x1b`, `\\u202e`, `\\udcff`; those in `keep` stay unchanged."""

    def escaped(match: re.Match[str]) -> str:
        char = match[0]
        if char in keep:
            return char
        return _NAMED.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}")

    return _CONTROL.sub(escaped, text)


def cell(text: str) -> str:
    """Return `text` as a cell of tab-separated values: as `visible`, with each backslash doubled.

    `cell.encode("latin-1", "backslashreplace").decode("unicode_escape")` gives `text` back.
    """
    return visible(text.replace("\\", "\\\\"))


def spreadsheet_safe(text: str) -> str:
    """Return `text` with `'` in front where a spreadsheet would evaluate it as a formula.

    Numbers stay unchanged. Text that starts with `'` gets another one, so that removing one `'` restores `text`.
    """
    start = text.lstrip()[:1]
    formula = start in _FORMULA or text[:1] in ("\t", "\r", "\n")
    return f"'{text}" if text[:1] == "'" or (formula and not _NUMBER.fullmatch(text)) else text


def json_text(value: Any, indent: int | None = None) -> str:
    """Return `value` as readable JSON with all control characters escaped; JSON itself allows those above U+007E."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def duration(seconds: float) -> str:
    """Format seconds as `1:02:03` or `2:03`; a question mark for a value that is not finite."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
