"""docTR detection, `labels.json` beside a folder `images`: one JSON object of file name to polygons; UTF-8. No texts.

    labels.json     {"sample_1.png": {"img_dimensions": [900, 600], "img_hash": "theimagedumpmyhash",
                     "polygons": [[[x1, y1], [x2, y2], [x3, y3], [x4, y4]], ...]}}
    images/sample_1.png

`img_dimensions` is (height, width); `img_hash` the SHA-256 of the file. `polygons` may be an object of class name to
list; classes are kept. Ignored instances cannot be marked.
https://github.com/mindee/doctr/tree/main/references/detection
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import Annotations
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
from ocrctl.data.formats._json import MALFORMED, dump, read_json
from ocrctl.data.formats._text import IMAGE_SUFFIX, head_text
from ocrctl.data.polygons.malformed import POINTS
from ocrctl.errors import InputError

NAME = "doctr-det"
LABEL_FILES = ("labels.json",)
PER_IMAGE = False
KEEPS = Keeps("polygon", text=False, ignore="none", sizes=True)
IMAGES_FROM = "images"  # names in the file are below it

_HEAD = re.compile(rf'\{{\s*"(?:[^"\\]|\\.)*{IMAGE_SUFFIX}"\s*:\s*\{{', re.IGNORECASE)
_EXPECTED = '{"polygons": [[[x, y], ...], ...]}'


def sniff(path: Path) -> bool:
    head = head_text(path)
    return '"polygons"' in head and _HEAD.match(head) is not None


def read(path: Path) -> Annotations:
    table = read_json(path)
    if not isinstance(table, dict):
        raise InputError(f"{path}: expected a JSON object of image name to polygons, found {type(table).__name__}.")
    builder = Builder(path, NAME)
    builder.label_file(path)
    for name, entry in table.items():
        try:
            height, width = (int(value) for value in entry.get("img_dimensions") or (0, 0))
            extra = without(entry, ("img_dimensions", "polygons"))
            polygons = entry["polygons"]
            classes = {kind: list(members) for kind, members in _by_class(polygons).items()}
            image = builder.image(name, size=(width, height), extra=extra)
        except MALFORMED:
            builder.malformed_image(name, entry, _EXPECTED)
            continue
        for kind, members in classes.items():
            for polygon in members:
                named = {"class": kind} if kind else None
                try:
                    builder.add(image, flatten(polygon), "", False, 0, named)
                except MALFORMED:
                    builder.malformed(image, polygon, "[[x, y], ...]", POINTS, extra=named)
    return builder.build(choose_root(builder.images, path))


def render(data: Annotations) -> Iterator[Rendered]:
    own = data.format == NAME
    table: dict[str, Any] = {}
    for image, members in instances(data):
        name = data.images[image]
        if (raw := malformed_entry(data, members, own)) is not None:
            table[name] = raw
            continue
        kinds = [data.extras.get(i, {}).get("class", "") if own else "" for i in members]
        polygons: Any = [
            bad.raw if (bad := malformed_instance(data, i, own)) else pair_points(data, i) for i in members
        ]
        if any(kinds):
            polygons = {
                kind: [p for p, k in zip(polygons, kinds, strict=True) if k == kind] for kind in dict.fromkeys(kinds)
            }
        width, height = data.sizes[image].tolist()
        entry: dict[str, Any] = {"img_dimensions": [height, width]} if width else {}
        entry |= data.image_extras.get(image, {}) if own else {}
        table[name] = entry | {"polygons": _both(table[name]["polygons"] if name in table else None, polygons)}
    yield Rendered(None, LABEL_FILES[0], dump(table))


def _by_class(polygons: Any) -> dict[str, Any]:
    return polygons if isinstance(polygons, dict) else {"": polygons}


def _both(one: Any, other: Any) -> Any:
    """Merge the polygons of an image that is listed twice, as a key can occur only once."""
    if one is None:
        return other
    if isinstance(one, list) and isinstance(other, list):
        return one + other
    parts = [polygons if isinstance(polygons, dict) else {"words": polygons} for polygons in (one, other)]
    return {kind: parts[0].get(kind, []) + parts[1].get(kind, []) for kind in dict.fromkeys([*parts[0], *parts[1]])}
