"""`ocrctl dataset crop`: the words of annotated pages as a set of word images."""

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
    """Word crops written; `skipped` counts instances by why they made none."""

    out: Path
    words: int
    skipped: dict[str, int]
    several_pages: list[str]  # places of TIFFs whose first page alone is read


def crop_words(spec: str, out: Path, format_name: str, progress: Progress = lambda done, total: None) -> CropReport:
    """Write the word crops of a set of pages: an LMDB, or a folder in any format of word images; whole or not at all.

    Raises UsageError when `out` is taken or the format is none of word images, InputError when there is no word.
    """
    data = open_annotations(spec)
    if data.words is not None:
        raise UsageError(
            f"{spec}: holds word images already.", hint=f"ocrctl lmdb build {shell_quote(spec)} {shell_quote(out)}"
        )
    words = word_format(format_name)
    skipped: Counter[str] = Counter()
    labels: list[str] = []
    several_pages: list[str] = []
    crops = _crops(data, labels, skipped, several_pages, progress)
    with new_folder(out, "dataset crop") as partial:
        words.write(crops, partial)
        if not labels:
            raise InputError(f"{spec}: holds no instance with a text that could be cropped.")
    return CropReport(out, len(labels), {why: count for why, count in skipped.items() if count}, several_pages)


def _crops(
    data: Annotations, labels: list[str], skipped: Counter[str], several_pages: list[str], progress: Progress
) -> Iterator[tuple[bytes, str]]:
    """(PNG, NFC label) of each word; labels are collected as well, and the places of TIFFs with several pages."""
    spans = data.spans().tolist()
    nowhere = np.full(len(data), np.nan)
    found = check_polygons(data.points, data.offsets, nowhere, nowhere)
    broken = np.zeros(len(data), bool)
    broken[found.of("too-few-points", "not-finite", "no-area", "self-intersecting")] = True
    for image in range(len(data.images)):
        members = range(spans[image], spans[image + 1])
        named = [i for i in members if not data.ignore[i] and data.texts[i].strip()]
        legible = [i for i in named if not has_error(data.texts[i])]
        usable = [i for i in legible if not broken[i]]
        skipped["ignored or without text"] += len(members) - len(named)
        skipped["text with an error that `dataset validate` names"] += len(named) - len(legible)
        skipped["outline with an error that `dataset validate` names"] += len(legible) - len(usable)
        progress(image + 1, len(data.images))
        if not usable:
            continue
        try:
            content = data.image_bytes(image)
            pixels = decode(content, data.image_where(image))
        except InputError:
            skipped["picture unreadable"] += len(usable)
            continue
        if has_several_pages(content):
            several_pages.append(data.image_where(image))
        for index in usable:
            points = data.polygon(index)
            if not in_reach(pixels, points):
                skipped["outline outside its picture, or far larger"] += 1
                continue
            word = crop(pixels, points, len(data.texts[index]))
            if word is None:
                skipped["no area"] += 1
                continue
            labels.append(normalize_label(data.texts[index]))
            yield cv2.imencode(".png", cv2.cvtColor(word, cv2.COLOR_RGB2BGR))[1].tobytes(), labels[-1]
