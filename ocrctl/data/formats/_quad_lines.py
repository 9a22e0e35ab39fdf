"""Parse a block of lines of eight numbers and a text at once: all numbers as one array."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_COMMA, _MINUS, _BREAK = b",-\n"
_LONGEST = 8  # maximum digits of a coordinate: the bytes of one 64-bit word
_SUMS = [
    (np.uint64(10), np.uint64(8), np.uint64(0x00FF00FF00FF00FF)),
    (np.uint64(100), np.uint64(16), np.uint64(0x0000FFFF0000FFFF)),
    (np.uint64(10000), np.uint64(32), np.uint64(0x00000000FFFFFFFF)),
]


class Quads(NamedTuple):
    """The contents of L lines."""

    points: NDArray[np.float64]  # (L, 8)
    texts: list[str]
    counts: list[int]  # lines of each label file


def parse_quads(files: Sequence[str]) -> Quads | None:
    """Parse all lines, such as `377,117,463,117,465,130,378,130,Genaxis, Theatre`, of label files with at least one.

    Lines are separated by \\n. Returns None when one is of another format: then they are parsed one by one.
    """
    return _whole(files) or _any(files)


def _any(files: Sequence[str]) -> Quads | None:
    """Same as `parse_quads`, for numbers that `float` reads."""
    rows = [line.split(",", 8) for line in "\n".join(files).split("\n")]
    if set(map(len, rows)) != {9}:
        return None
    texts = [row.pop() for row in rows]
    try:
        points = np.array(list(map(float, chain.from_iterable(rows)))).reshape(-1, 8)
    except ValueError:
        return None
    return Quads(points, texts, [text.count("\n") + 1 for text in files])


def _whole(files: Sequence[str]) -> Quads | None:
    """Same as `parse_quads`, for whole numbers of up to eight digits."""
    contents = [text.encode() for text in files]
    content = b"\n".join(contents)
    data = np.frombuffer(content, np.uint8)
    marks = np.flatnonzero((data == _COMMA) | (data == _BREAK))
    breaks = np.flatnonzero(data[marks] == _BREAK)
    edges = np.empty(len(breaks) + 2, np.int64)  # line i has the marks between edges i and i + 1
    edges[0], edges[1:-1], edges[-1] = -1, breaks, len(marks)
    if (edges[1:] - edges[:-1]).min() <= 8:
        return None
    windows = np.ndarray((len(marks) - 7, 8), np.int64, marks, strides=(8, 8))
    stops = windows[edges[:-1] + 1]  # (L, 8): the comma after each number
    ends = np.append(marks[breaks], len(data))
    widths = np.empty_like(stops)  # first the start of each number
    widths[0, 0] = 0
    np.add(ends[:-1], 1, out=widths[1:, 0])
    np.add(stops[:, :7], 1, out=widths[:, 1:])
    runs = np.empty((len(ends), 2), np.int64)  # of each line: bytes of its numbers, of the text and its \n
    np.subtract(stops[:, 7] + 1, widths[:, 0], out=runs[:, 0])
    np.subtract(ends, stops[:, 7], out=runs[:, 1])
    runs[-1, 1] -= 1  # no \n after the last line
    negative = data[widths] == _MINUS
    np.subtract(stops, widths, out=widths)
    widths -= negative
    if widths.min() < 1 or widths.max() > _LONGEST:
        return None
    values = _whole_numbers(content, stops, widths)
    if values is None:
        return None
    values[negative] *= -1  # also a zero, as float() reads it
    kept = np.zeros(2 * len(ends), np.bool_)
    kept[1::2] = True
    texts = data[np.repeat(kept, runs.ravel())].tobytes().decode().split("\n")
    last = ends.searchsorted([stop - 1 for stop in accumulate(len(one) + 1 for one in contents)]).tolist()
    return Quads(values, texts, [stop - start for start, stop in pairwise([-1, *last])])


def _whole_numbers(content: bytes, stops: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the numbers of one to eight digits that end before the bytes `stops`; None when one has other characters.
    `widths` is overwritten: fewer arrays fit better in the processor's cache.

    The eight bytes before each stop are one word, the last digit its highest byte; neighbours are then summed in
    twos, fours and eights (Lemire, https://lemire.me/blog/2022/01/21/swar-explained-parsing-eight-digits/).
    """
    padded = bytes(_LONGEST) + content  # byte i of `content` is byte i + 8
    words = np.ndarray((len(content) + 1,), "<u8", padded, strides=(1,))[stops]
    words ^= np.uint64(0x3030303030303030)
    np.subtract(_LONGEST, widths, out=widths)
    widths *= 8  # bits of what precedes the number
    part = widths.view(np.uint64)
    words >>= part
    words <<= part
    np.add(words, np.uint64(0x7676767676767676), out=part)  # sets the highest bit of bytes of 10 and more
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
