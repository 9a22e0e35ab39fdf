"""Nested images/words json of the Korean receipt competitions (UFO), `train.json`: one JSON object; UTF-8.

{"images": {"receipt_1.jpg": {"img_w": 960, "img_h": 1280, "words": {
    "0001": {"points": [[x1, y1], [x2, y2], ...], "transcription": "합계", "illegibility": false, "language": ["ko"],
             "orientation": "Horizontal", "tags": []}}}}}

Ignored: `illegibility` true, a transcription of null or `###`. Other keys are kept; one of them, `characters` of a
word, [[x1, y1, ..., x4, y4], ...] with one quad per character, is used to train CRAFT. Images are beside the file, in
its parent, or in `images`, `img` or `img/<name of the file>` of either.
https://boostcamp.connect.or.kr (data annotation competition), UFO: Upstage Format for OCR
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats._detection import (
    Keeps,
    Rendered,
    flatten,
    instances,
    malformed_entry,
    malformed_instance,
    pair_points,
    without,
)
from ocrctl.data.formats._images import choose_root
from ocrctl.data.formats._json import MALFORMED, dump, read_object
from ocrctl.data.formats._text import head_text
from ocrctl.data.polygons.columns import Floats
from ocrctl.data.polygons.malformed import malformed_code
from ocrctl.errors import InputError

NAME = "words-json"
LABEL_FILES = ("train.json", "*.json")
PER_IMAGE = False
KEEPS = Keeps("polygon", ignore="flag", marks=(IGNORED,), line_breaks=True, sizes=True)

IMAGES_FROM = "images"  # names in the file are below it
CHARACTERS = "characters"  # key of a word: [[x1, y1, ..., x4, y4], ...], one quad for each character
_EXPECTED = '{"points": [[x, y], ...], "transcription": TEXT}'
_EMPTY = re.compile(r'"words"\s*:\s*\{\s*\}')  # a list of images without labels
_KNOWN = ("points", "transcription", "illegibility")


def sniff(path: Path) -> bool:
    head = head_text(path)
    return (
        head.startswith("{")
        and '"images"' in head
        and '"words"' in head
        and ('"points"' in head or _EMPTY.search(head) is not None)
    )


def read(path: Path) -> Annotations:
    document, images = read_object(path, "images", dict)
    builder = Builder(path, NAME)
    builder.label_file(path)
    builder.document = without(document, ("images",))
    for name, entry in images.items():
        try:
            size = int(entry.get("img_w") or 0), int(entry.get("img_h") or 0)
            words = entry["words"].items()
            image = builder.image(name, size=size, extra=without(entry, ("img_w", "img_h", "words")))
        except MALFORMED:
            builder.malformed_image(name, entry, "an object with the object words")
            continue
        for key, word in words:
            try:
                text = word["transcription"]
                ignore = text is None or text == IGNORED or bool(word.get("illegibility"))
                extra = {"key": key, **without(word, _KNOWN)}
                if not isinstance(text, str | None):
                    raise TypeError
                builder.add(image, flatten(word["points"]), IGNORED if text is None else text, ignore, 0, extra)
            except MALFORMED:
                free = isinstance(word, dict) and "transcription" in word
                code = malformed_code(word, "transcription", text_free=free)
                builder.malformed(image, word, _EXPECTED, code, extra={"key": key}, what=f"word {key}")
    return builder.build(choose_root(builder.images, path))


def render(data: Annotations) -> Iterator[Rendered]:
    own = data.format == NAME
    table: dict[str, Any] = {}
    for image, members in instances(data):
        if (raw := malformed_entry(data, members, own)) is not None:
            table.setdefault(data.images[image], raw)
            continue
        entry = image_entry(data, image, members)
        if (twice := table.get(data.images[image])) is None:
            table[data.images[image]] = entry
        else:  # an image that is listed twice is written once, with the words of both
            for key, word in entry["words"].items():
                twice["words"][_unused(key, twice["words"])] = word
    yield Rendered(None, LABEL_FILES[0], dump({**(data.document if own else {}), "images": table}))


def characters(data: Annotations, index: int) -> Floats:
    """Return quads (c, 4, 2) of the characters of instance `index`. Raises InputError when they are malformed."""
    listed = data.extras.get(index, {}).get(CHARACTERS)
    if not listed:
        return np.zeros((0, 4, 2))
    try:
        quads = np.array(listed, np.float64).reshape(len(listed), 4, 2)
    except (TypeError, ValueError):
        quads = np.full((1, 4, 2), np.nan)
    if not np.isfinite(quads).all():
        raise InputError(
            f"{data.where(index)}: expected {CHARACTERS} as [[x1, y1, x2, y2, x3, y3, x4, y4], ...], one quad per "
            f"character, found {str(listed)[:60]}."
        )
    return quads


def _unused(key: str, taken: Container[str]) -> str:
    """Return `key`, or a variant that is not `taken`."""
    return next(name for name in chain([key], (f"{key}-{number}" for number in count(2))) if name not in taken)


def image_entry(data: Annotations, image: int, members: range) -> dict[str, Any]:
    """Return the entry of one image, whose instances are `members`."""
    own = data.format == NAME
    words: dict[str, Any] = {}
    for position, i in enumerate(members, 1):
        extra = dict(data.extras.get(i, {})) if own else {}
        key = extra.pop("key", f"{position:04d}")
        if bad := malformed_instance(data, i, own):
            words[_unused(key, words)] = bad.raw
            continue
        word = {
            "points": pair_points(data, i),
            "transcription": data.texts[i],
            "illegibility": bool(data.ignore[i]),
        }
        words[_unused(key, words)] = word | extra
    width, height = data.sizes[image].tolist()
    entry: dict[str, Any] = {"img_w": width, "img_h": height} if width else {}
    entry |= data.image_extras.get(image, {}) if own else {}
    return entry | {"words": words}
