"""Convert instances of the columnar index to the words of one image."""

from __future__ import annotations

import numpy as np

from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats import DETECTION_FORMATS, CharacterFormat
from ocrctl.data.polygons.page_words import Floats, PageWords
from ocrctl.errors import InputError, UsageError
from ocrctl.shell import shell_quote


def page_words(data: Annotations, start: int, stop: int) -> PageWords:
    """Return instances `start` up to `stop` of one image. Raises InputError naming the location of malformed character
    quads."""
    first = data.offsets[start]
    source = DETECTION_FORMATS.get(data.format)
    characters: list[Floats] = []
    if isinstance(source, CharacterFormat):
        characters = [source.characters(data, index) for index in range(start, stop)]
    return PageWords(
        data.points[first : data.offsets[stop]],
        data.offsets[start : stop + 1] - first,
        data.ignore[start:stop],
        ["" if text == IGNORED else text for text in data.texts[start:stop]],
        np.concatenate([*characters, np.zeros((0, 4, 2))]),
        np.concatenate(([0], np.cumsum([len(quads) for quads in characters] or [0] * (stop - start)))).astype(np.int64),
    )


def expect_pages(data: Annotations) -> None:
    """Raise UsageError when `data` holds word images."""
    if data.words is not None:
        raise UsageError(
            f"{data.name}: holds word images, expected pages with polygons.",
            hint="a recogniser takes word images: ocrctl model list",
        )


def check_shapes(data: Annotations) -> None:
    """Raise InputError for the first polygon with fewer than three points or a coordinate that is not finite."""
    bad = np.diff(data.offsets) < 3
    wild = np.flatnonzero(~np.isfinite(data.points).all(1))
    bad[np.searchsorted(data.offsets, wild, "right") - 1] = True
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(
            f"{data.where(first)}: expected a polygon of at least three finite points, found "
            f"{data.polygon(first).tolist()}; {int(bad.sum())} in total.",
            hint=f"ocrctl dataset validate {shell_quote(f'{data.format}:{data.name}')}",
        )
