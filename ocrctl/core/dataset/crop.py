"""`ocrctl dataset crop`: crop the words of annotated pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats import word_format
from ocrctl.data.formats.spec import open_annotations
from ocrctl.data.images.decode import decode
from ocrctl.data.images.rectify import crop, in_reach
from ocrctl.data.images.tiff import has_several_pages
from ocrctl.data.polygons.rules import check_polygons
from ocrctl.data.validate.text_rules import has_error
from ocrctl.errors import InputError, UsageError
from ocrctl.files.folder import new_folder
from ocrctl.shell import shell_quote
from ocrctl.text.normalize import normalize_label

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CropReport:
    """Result of `dataset crop`; `skipped` counts instances by the reason."""

    out: Path
    words: int
    skipped: dict[str, int]
    several_pages: list[str]  # locations of TIFFs of which only the first page is read


def crop_words(spec: str, out: Path, format_name: str, progress: Progress = lambda done, total: None) -> CropReport:
    """Write the word crops of a set of pages atomically, to an LMDB or a folder in any format of word images.

    Raises UsageError when `out` exists or the format is not one of word images, InputError when there is no word.
    """
    data = open_annotations(spec)
    if data.words is not None:
        raise UsageError(
            f"{spec}: contains word images already.", hint=f"ocrctl lmdb build {shell_quote(spec)} {shell_quote(out)}"
        )
    words = word_format(format_name)
    skipped: Counter[str] = Counter()
    labels: list[str] = []
    several_pages: list[str] = []
    crops = _crops(data, labels, skipped, several_pages, progress)
    with new_folder(out, "dataset crop") as partial:
        words.write(crops, partial)
        if not labels:
            raise InputError(f"{spec}: contains no instance with text to crop.")
    return CropReport(out, len(labels), {why: count for why, count in skipped.items() if count}, several_pages)


def _crops(
    data: Annotations, labels: list[str], skipped: Counter[str], several_pages: list[str], progress: Progress
) -> Iterator[tuple[bytes, str]]:
    """Yield (PNG, NFC label) of each word; appends to `labels`, and multi-page TIFFs to `several_pages`."""
    spans = data.spans().tolist()
    unknown = np.full(len(data), np.nan)
    found = check_polygons(data.points, data.offsets, unknown, unknown)
    broken = np.zeros(len(data), bool)
    broken[found.of("too-few-points", "not-finite", "no-area", "self-intersecting")] = True
    for image in range(len(data.images)):
        members = range(spans[image], spans[image + 1])
        named = [i for i in members if not data.ignore[i] and data.texts[i].strip()]
        legible = [i for i in named if not has_error(data.texts[i])]
        usable = [i for i in legible if not broken[i]]
        skipped["ignored or without text"] += len(members) - len(named)
        skipped["text with an error of `dataset validate`"] += len(named) - len(legible)
        skipped["polygon with an error of `dataset validate`"] += len(legible) - len(usable)
        progress(image + 1, len(data.images))
        if not usable:
            continue
        try:
            content = data.image_bytes(image)
            pixels = decode(content, data.image_where(image))
        except InputError:
            skipped["image unreadable"] += len(usable)
            continue
        if has_several_pages(content):
            several_pages.append(data.image_where(image))
        for index in usable:
            points = data.polygon(index)
            if not in_reach(pixels, points):
                skipped["polygon outside its image, or far larger"] += 1
                continue
            word = crop(pixels, points, len(data.texts[index]))
            if word is None:
                skipped["no area"] += 1
                continue
            labels.append(normalize_label(data.texts[index]))
            yield cv2.imencode(".png", cv2.cvtColor(word, cv2.COLOR_RGB2BGR))[1].tobytes(), labels[-1]
