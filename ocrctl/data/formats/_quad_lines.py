"""Lines of eight numbers and a text, a block of them at once: all of its numbers as one array."""

from __future__ import annotations

from itertools import chain

import numpy as np
from numpy.typing import NDArray

_COMMA, _MINUS = b",-"
_LONGEST = 8  # digits of a coordinate: as many bytes as one word of the processor holds
_SUMS = [
    (np.uint64(10), np.uint64(8), np.uint64(0x00FF00FF00FF00FF)),
    (np.uint64(100), np.uint64(16), np.uint64(0x0000FFFF0000FFFF)),
    (np.uint64(10000), np.uint64(32), np.uint64(0x00000000FFFFFFFF)),
]


def quads_at_once(text: str) -> tuple[NDArray[np.float64], list[str]] | None:
    """Points (L, 8) and the L texts of lines such as `377,117,463,117,465,130,378,130,Genaxis, Theatre`.

    The lines of `text` are parted by \\n. None where one is not of the format: then they are looked at one by one.
    """
    return _whole(text) or _any(text)


def _any(text: str) -> tuple[NDArray[np.float64], list[str]] | None:
    """As `quads_at_once`, of whatever `float` reads."""
    rows = [line.split(",", 8) for line in text.split("\n")]
    if set(map(len, rows)) != {9}:
        return None
    texts = [row.pop() for row in rows]
    try:
        return np.array(list(map(float, chain.from_iterable(rows)))).reshape(-1, 8), texts
    except ValueError:
        return None


def _whole(text: str) -> tuple[NDArray[np.float64], list[str]] | None:
    """As `quads_at_once`, of whole numbers of up to eight digits."""
    content = text.encode()
    data = np.frombuffer(content, np.uint8)
    ends = np.append(np.flatnonzero(data == ord("\n")), len(data))
    starts = np.concatenate(([0], ends[:-1] + 1))
    commas = np.flatnonzero(data == _COMMA)
    first = np.searchsorted(commas, starts)
    if first[-1] + 8 > len(commas):
        return None
    stops = commas[first + np.arange(8)[:, None]]  # (8, L): the comma behind each number
    if (stops[7] > ends).any():
        return None
    begins = np.concatenate((starts[None], stops[:7] + 1))
    negative = data[begins] == _MINUS
    widths = stops - begins
    widths -= negative
    if widths.min() < 1 or widths.max() > _LONGEST:
        return None
    values = _whole_numbers(content, stops, widths)
    if values is None:
        return None
    values[negative] *= -1  # a zero, too, as float() reads it
    behind = stops[7] + 1
    if len(content) == len(text):
        return values.T, [text[start:stop] for start, stop in zip(behind.tolist(), ends.tolist(), strict=True)]
    behind -= starts  # in characters as in bytes: digits, commas and signs stand before it
    return values.T, [line[start:] for line, start in zip(text.split("\n"), behind.tolist(), strict=True)]


def _whole_numbers(content: bytes, stops: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """The numbers of one to eight digits that end before the bytes `stops`; None when one holds anything but digits.

    The eight bytes before each stop are one word, the last digit its highest byte; neighbours are then added up by
    twos, fours and eights (Lemire, https://lemire.me/blog/2022/01/21/swar-explained-parsing-eight-digits/).
    """
    padded = bytes(_LONGEST) + content  # byte i of `content` is byte i + 8
    words = np.ndarray((len(content) + 1,), "<u8", padded, strides=(1,))[stops]
    words ^= np.uint64(0x3030303030303030)
    before = (8 * (_LONGEST - widths)).astype(np.uint64)  # bits that belong to what stands before the number
    words >>= before
    words <<= before
    part = words + np.uint64(0x7676767676767676)  # lifts 10 and more to the highest bit of their byte
    part |= words
    part &= np.uint64(0x8080808080808080)
    if part.any():
        return None
    for power, bits, kept in _SUMS:
        np.right_shift(words, bits, out=part)
        words *= power
        words += part
        words &= kept
    return words.astype(np.float64)
