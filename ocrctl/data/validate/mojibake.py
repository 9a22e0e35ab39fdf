"""Detect texts whose UTF-8 bytes were decoded as Windows-1252 or Latin-1, and restore them where possible."""

from __future__ import annotations

import re

_CP1252 = {char: byte for byte in range(0x80, 0xA0) if (char := bytes([byte]).decode("cp1252", "ignore"))}
_BYTES = {ord(char): chr(byte) for char, byte in _CP1252.items()}  # Windows-1252's 0x80 to 0x9F as in Latin-1
# In a Latin-1 text: complete UTF-8 characters, characters whose end is missing, other bytes.
_PARTS = re.compile(
    "(?P<whole>[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})"
    "|(?P<cut>[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2}|[\xc2-\xdf])"
    "|(?P<loose>[^\0-\x7f])"
)
_CAPITAL_END = re.compile(
    "[a-z][\xc2\xc3](?![\x80-\xbf]|[^\\W\\d_])"
)  # voilÃ: the second byte of à is a space that was trimmed
_LETTERS = re.compile("[^\\W\\d_]")


def unmojibake(text: str) -> str:
    """Return the original text of UTF-8 that was decoded as Windows-1252 or Latin-1, "" for other texts.

    Accepted is only text that is valid UTF-8 when encoded back, without characters that labels never hold: `NESTLÉ®` is
    no mojibake of `NESTLɮ`.
    """
    if text.isascii() or not any("\u00c2" <= char <= "\u00f4" for char in text):
        return ""
    for encoding in ("cp1252", "latin-1"):
        try:
            original = text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
        if original.isprintable() and not original.isascii() and all(map(_common, original)):
            return original
    return ""


def lost_bytes(text: str) -> str:
    """Return the rest of a text that was UTF-8 decoded as Latin and lost bytes, with U+FFFD for the lost characters;
    "" for other texts.

    `ì½”ë”` is 코 and two of the three bytes of another syllable. Detected by a complete character of three bytes or
    more beside an incomplete one, two incomplete ones without any letter, or a small letter before `Ã` or `Â` at the
    end of a word.
    """
    if text.isascii():
        return ""
    latin = text.translate(_BYTES)
    if max(latin) > "\xff":
        return ""
    if _CAPITAL_END.search(latin):
        return _decoded(latin)
    parts = list(_PARTS.finditer(latin))
    cut = [part for part in parts if part.lastgroup == "cut" and len(part[0]) > 1]
    broken = sum(part.lastgroup != "whole" for part in parts)
    long = [part for part in parts if part.lastgroup == "whole" and len(part[0]) >= 3 and _common(_decoded(part[0]))]
    if len(long) == 1 and latin[: long[0].start()][-1:].islower():  # «Été»…
        long = []
    if long and broken and broken - len(cut) <= 2 * (len(long) + len(cut)):
        return _decoded(latin)
    bare = not _LETTERS.search(re.sub("[^\0-\x7f]", "", latin))
    return _decoded(latin) if bare and len(cut) >= 2 and len(cut) == len(parts) else ""


def _decoded(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", "replace")


def _common(char: str) -> bool:
    """Whether labels may hold the character: not those that two Latin symbols form by chance (phonetic letters, African
    Latin letters, modifiers)."""
    code = ord(char)
    rare = 0x180 <= code < 0x370 and code not in (0x1A0, 0x1A1, 0x1AF, 0x1B0) and not 0x1CD <= code <= 0x1DC
    return not rare or 0x218 <= code <= 0x21B
