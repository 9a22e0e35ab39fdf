"""The one normal form of every label, charset and prediction: Unicode NFC (https://unicode.org/reports/tr15/)."""

from __future__ import annotations

from unicodedata import is_normalized, normalize


def normalize_label(text: str) -> str:
    """`text` in NFC, otherwise untouched: no trimming, no case folding, no transliteration.

    Hangul in files written on macOS and Vietnamese typed with combining marks arrive decomposed (NFD); the same word
    would otherwise count as two labels and its marks as characters of their own.
    """
    if text.isascii() or is_normalized("NFC", text):
        return text
    return normalize("NFC", text)
