"""Fit annotations to what a format supports, and count what is lost."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import shapely

from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats import page_format
from ocrctl.data.formats._gt_lines import starts_as_points
from ocrctl.data.polygons.columns import Floats
from ocrctl.data.polygons.fixes import replaced, signed_area, start_top_left

_FAR = 1e9  # pixels; beyond it the rotated rectangle is not reliable
_HALF = re.compile("[\ud800-\udfff]")


def fit_to_format(data: Annotations, format_name: str) -> tuple[Annotations, dict[str, int]]:
    """Return `data` as format `format_name` supports it, and the losses: sentence to number of instances or images."""
    keeps = page_format(format_name).KEEPS
    lost: Counter[str] = Counter()
    shape = (data.format == format_name and keeps.own_shape) or keeps.shape
    data = _shapes(data, shape, keeps.no_points, lost)
    if not keeps.leading_numbers and (np.diff(data.offsets) != 4).any():
        texts = [text for text, off in zip(data.texts, data.ignore, strict=True) if not off]
        lost["texts that start with a number and a comma may be read as points"] += sum(map(starts_as_points, texts))
    texts = list(data.texts)
    for index, text in enumerate(texts):
        ignored = bool(data.ignore[index])
        if not keeps.text:
            lost["texts are not kept"] += bool(text and text != IGNORED)
            texts[index] = ""
            continue
        texts[index] = text = whole_characters(text, lost)
        if not keeps.line_breaks and ("\n" in text or "\r" in text):
            lost["line breaks within a text become spaces"] += 1
            texts[index] = text = " ".join(text.splitlines())
        if ignored and keeps.ignore == "mark":
            if text not in (*keeps.marks, IGNORED, ""):
                lost["texts of ignored instances are not kept"] += 1
            if text not in keeps.marks:
                texts[index] = keeps.marks[0] if keeps.marks and keeps.marks[0] != "#" else IGNORED
        elif not ignored and not text and not keeps.no_text:
            lost["instances without a text will be read as ignored"] += 1
        elif not ignored and text in keeps.marks:
            lost[f"texts that are {text!r} will be read as ignored"] += 1
    ignore = data.ignore
    if keeps.ignore == "none" and ignore.any():
        lost["ignored instances become ordinary ones"] = int(ignore.sum())
        ignore = np.zeros_like(ignore)
    if not keeps.sizes and (data.sizes > 0).any():
        lost["sizes of images are not kept"] = int((data.sizes > 0).all(1).sum())
    if data.format != format_name:
        keys = Counter(key for extra in data.extras.values() for key in extra)
        lost.update({f"{data.format}'s {key!r} is not kept": count for key, count in keys.items()})
    return replace(data, texts=texts, ignore=ignore), {what: count for what, count in lost.items() if count}


def whole_characters(text: str, lost: Counter[str]) -> str:
    """Replace halves of surrogate pairs in `text`, which JSON can hold and UTF-8 cannot, with U+FFFD."""
    if text.isascii() or not _HALF.search(text):
        return text
    lost["halves of characters become U+FFFD"] += 1
    return _HALF.sub("\N{REPLACEMENT CHARACTER}", text)


def _shapes(data: Annotations, shape: str, no_points: bool, lost: Counter[str]) -> Annotations:
    if shape == "polygon" and (no_points or np.diff(data.offsets).all()):
        return data
    sizes = np.diff(data.offsets)
    new: list[tuple[int, Floats]] = []
    unfit = sizes > 0 if shape == "box" else (sizes > 0) & (sizes != 4) & (shape == "quad")
    for index in np.flatnonzero(unfit):
        points = data.polygon(int(index))
        box = upright_box(points) if shape == "box" or len(points) < 3 else turned_box(points)
        if not np.array_equal(box, points):
            new.append((int(index), box))
    empty = [(int(index), np.zeros((4, 2))) for index in np.flatnonzero(sizes == 0)]
    lost["instances without points get four of them at 0, 0"] = len(empty)
    lost["polygons become the box around them" if shape == "box" else "polygons become a rotated box"] = len(new)
    new += empty
    points, offsets = replaced(data.points, data.offsets, new) if new else (data.points, data.offsets)
    return replace(data, points=points, offsets=offsets)


def upright_box(points: Floats) -> Floats:
    """Return the four corners of the box around points (n, 2), clockwise from the top left."""
    (x1, y1), (x2, y2) = points.min(0), points.max(0)
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])


def turned_box(points: Floats) -> Floats:
    """Return the smallest rotated rectangle around points (n, 2), clockwise from the corner nearest to the top left."""
    if not np.abs(points).max() < _FAR:  # also NaN
        return upright_box(points)
    found = shapely.oriented_envelope(shapely.MultiPoint(points))
    if found.geom_type != "Polygon":
        return upright_box(points)
    corners = shapely.get_coordinates(found)[:4]
    return start_top_left(corners if signed_area(corners) > 0 else corners[::-1])
