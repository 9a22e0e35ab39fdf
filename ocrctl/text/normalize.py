"""Normalise labels, charsets and predictions to Unicode NFC (https://unicode.org/reports/tr15/)."""

from __future__ import annotations

from unicodedata import is_normalized, normalize

SHOWN = 60  # characters of a label in a message


def normalize_label(text: str) -> str:
    """Return `text` in NFC; no trimming, case folding or transliteration.

    Hangul in files written on macOS and Vietnamese typed with combining marks are decomposed (NFD); without
    NFC the same word would be two labels and its marks separate characters.
    """
    if text.isascii() or is_normalized("NFC", text):
        return text
    return normalize("NFC", text)


def shortened_label(text: str) -> str:
    """Return `text` in NFC and in quotes for a message, cut after SHOWN characters."""
    text = normalize_label(text)
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}..."
