"""From the columnar index to the words of one picture, and the characters that some sets know."""

from __future__ import annotations

import numpy as np

from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats import words_json
from ocrctl.data.polygons.page_words import Floats, PageWords
from ocrctl.errors import InputError, UsageError
from ocrctl.shell import shell_quote

CHARACTERS = "characters"  # key of a word in words-json: [[x1, y1, ..., x4, y4], ...], one quad for each character


def page_words(data: Annotations, start: int, stop: int) -> PageWords:
    """Instances `start` up to `stop` of one picture. Raises InputError naming the place of character quads that are
    none."""
    first = data.offsets[start]
    characters = [_characters(data, index) for index in range(start, stop)]
    return PageWords(
        data.points[first : data.offsets[stop]],
        data.offsets[start : stop + 1] - first,
        data.ignore[start:stop],
        ["" if text == IGNORED else text for text in data.texts[start:stop]],
        np.concatenate([*characters, np.zeros((0, 4, 2))]),
        np.concatenate(([0], np.cumsum([len(quads) for quads in characters]))).astype(np.int64),
    )


def expect_pages(data: Annotations) -> None:
    """Raise UsageError when `data` holds word images."""
    if data.words is not None:
        raise UsageError(f"{data.name}: holds word images, expected pages with polygons.")


def check_shapes(data: Annotations) -> None:
    """Raise InputError at the first polygon of fewer than three points or with a number that is none."""
    bad = np.diff(data.offsets) < 3
    wild = np.flatnonzero(~np.isfinite(data.points).all(1))
    bad[np.searchsorted(data.offsets, wild, "right") - 1] = True
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(
            f"{data.where(first)}: expected a polygon of three finite points or more, found "
            f"{data.polygon(first).tolist()}; {int(bad.sum())} in all.",
            hint=f"ocrctl dataset validate {shell_quote(f'{data.format}:{data.name}')}",
        )


def _characters(data: Annotations, index: int) -> Floats:
    if data.format != words_json.NAME:  # where another format has such a key, it means something of its own
        return np.zeros((0, 4, 2))
    listed = data.extras.get(index, {}).get(CHARACTERS)
    if not listed:
        return np.zeros((0, 4, 2))
    try:
        quads = np.array(listed, np.float64).reshape(len(listed), 4, 2)
    except (TypeError, ValueError):
        quads = np.full((1, 4, 2), np.nan)
    if not np.isfinite(quads).all():
        raise InputError(
            f"{data.where(index)}: expected {CHARACTERS} as [[x1, y1, x2, y2, x3, y3, x4, y4], ...], one quad for each "
            f"character, found {str(listed)[:60]}."
        )
    return quads
