"""Sample numbers, prices and punctuation: pure functions of the given `Random`."""

from __future__ import annotations

from random import Random

from ocrctl.data.synth.words.config import DIGITS, PUNCTUATION, UPPER

# '#' is a digit, 'A' a capital; other characters are literal
_PATTERNS = (
    "#", "##", "###", "####", "19##", "20##", "#,###", "#.##", "##.##", "$#", "$##", "$#.##", "#%", "##%", "#/#",
    "#-##", "#:##", "##:##", "##.##.##", "###-####", "#th", "#st", "A#", "#A", "A##", "AA##", "###A", "No.#", "#x#",
    "#-####-###",
)  # fmt: skip
_TAILS = ".,!:;?%'-/"
_BRACKETS = ("()", "[]", '""', "''", "{}", "<>")
_LINKS = "--..''//&_+@:"


def number(r: Random) -> str:
    """Sample a number, price, percentage, date, phone number or short code."""
    return fill(r, _PATTERNS[int(r.random() * len(_PATTERNS))])


def fill(r: Random, pattern: str) -> str:
    """Fill `pattern` with a digit for each '#' and a capital for each 'A'; other characters are literal."""
    return "".join([_symbol(r, sign) for sign in pattern])


def _symbol(r: Random, sign: str) -> str:
    if sign == "#":
        return DIGITS[int(r.random() * 10)]
    return UPPER[int(r.random() * 26)] if sign == "A" else sign


def digits(r: Random, low: int, high: int) -> str:
    """Sample `low` to `high` digits."""
    return "".join([DIGITS[int(r.random() * 10)] for _ in range(low + int(r.random() * (high - low + 1)))])


def punctuate(r: Random, text: str) -> str:
    """Add punctuation to `text`: after it, brackets around it, a link inside it, or any ASCII mark anywhere."""
    pick, which = r.random(), r.random()
    if pick < 0.5:
        return text + _TAILS[int(which * len(_TAILS))]
    if pick < 0.64:
        pair = _BRACKETS[int(which * len(_BRACKETS))]
        return pair[0] + text + pair[1]
    if pick < 0.8 and len(text) > 2:
        position = 1 + int(r.random() * (len(text) - 1))
        return text[:position] + _LINKS[int(which * len(_LINKS))] + text[position:]
    position = int(r.random() * (len(text) + 1))
    return text[:position] + PUNCTUATION[int(which * len(PUNCTUATION))] + text[position:]
