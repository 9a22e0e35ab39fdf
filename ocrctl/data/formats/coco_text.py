"""COCO-Text v2 and TextOCR: one JSON object of images and instances by id; UTF-8.

{"imgs": {"390310": {"id": 390310, "file_name": "COCO_train2014_000000390310.jpg", "width": 640, "height": 480,
                     "set": "train"}},
 "anns": {"45346": {"id": 45346, "image_id": 390310, "utf8_string": "JOINT", "bbox": [x, y, w, h], "area": 12.5,
                    "mask": [x1, y1, ...], "legibility": "legible", "class": "machine printed", "language": "english"}},
 "imgToAnns": {"390310": [45346]}}

TextOCR has `points` instead of `mask`, ids of letters and digits, and the text `.` for illegible words; COCO-Text 1.4
has `polygon` instead of `mask`. Ignored: legibility "illegible" (COCO-Text), the text `.` (TextOCR). Without a polygon,
the corners of `bbox` are used.
https://bgshih.github.io/cocotext/  https://textvqa.org/textocr/dataset/
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats._detection import (
    Keeps,
    Rendered,
    box,
    flat_points,
    instances,
    malformed_instance,
    outline,
    without,
)
from ocrctl.data.formats._images import choose_root
from ocrctl.data.formats._json import MALFORMED, dump, read_object
from ocrctl.data.formats._text import head_text
from ocrctl.data.polygons.malformed import ENTRY, malformed_code
from ocrctl.errors import InputError

NAME = "coco-text"
LABEL_FILES = ("cocotext.v2.json", "TextOCR*.json", "*.json")
PER_IMAGE = False
KEEPS = Keeps("polygon", ignore="flag", line_breaks=True, sizes=True)

_EXPECTED = '{"image_id": ID, "bbox": [x, y, w, h], "utf8_string": TEXT}'
_OUTLINES = ("mask", "points", "polygon")
_KNOWN = (*_OUTLINES, "bbox", "image_id", "utf8_string", "legibility", "area")


def sniff(path: Path) -> bool:
    head = head_text(path)
    if not head.startswith("{"):
        return False
    return any(f'"{key}"' in head[:4096] for key in ("imgs", "anns", "imgToAnns")) and '"data_list"' not in head


def read(path: Path) -> Annotations:
    document, imgs = read_object(path, "imgs", dict)
    _, anns = read_object(path, "anns", dict, document)
    builder = Builder(path, NAME)
    builder.label_file(path)
    builder.document = without(document, ("imgs", "anns", "imgToAnns", "img2Anns"))
    numbers: dict[str, int] = {}
    for key, entry in imgs.items():
        try:
            name = entry.get("file_name") or entry["filename"]
            size = int(entry.get("width") or 0), int(entry.get("height") or 0)
            extra = without(entry, ("file_name", "filename", "width", "height")) | {"id": entry.get("id", key)}
            numbers[str(key)] = builder.image(name, size=size, extra=extra)
        except MALFORMED as error:
            raise InputError(f"{path}: imgs[{key!r}]: expected file_name, found {str(entry)[:60]}.") from error
    entries = (entry for entry in anns.values() if isinstance(entry, dict))
    points_key = next((key for entry in entries for key in _OUTLINES if key in entry), "points")
    builder.document["points_key"] = points_key
    for key, entry in anns.items():
        image = 0  # for an instance that names no image, as its note says
        try:
            image = numbers[str(entry["image_id"])]
            points = outline(entry, _OUTLINES, sized=True)
            text = entry.get("utf8_string", "")
            text = "" if text is None else text
            legibility = entry.get("legibility")
            ignore = legibility == "illegible" or (points_key == "points" and text == ".")
            extra = without(entry, _KNOWN) | {"id": entry.get("id", key)}
            builder.add(image, points, text, ignore, 0, extra)
        except MALFORMED:
            if not numbers:
                break  # `build` reports that there are no images
            known = isinstance(entry, dict) and str(entry.get("image_id")) in numbers
            name = malformed_code(entry, "utf8_string", text_free=True) if known else ENTRY
            builder.malformed(image, entry, _EXPECTED, name, extra={"id": key}, what=f"anns[{key!r}]")
    return builder.build(choose_root(builder.images, path))


def render(data: Annotations) -> Iterator[Rendered]:
    own = data.format == NAME
    points_key = data.document.get("points_key", "mask") if own else "mask"
    imgs: dict[str, Any] = {}
    anns: dict[str, Any] = {}
    by_image: dict[str, Any] = {}
    free = count(len(data) + len(data.images) + 1)  # ids for entries whose id is taken
    for image, members in instances(data):
        width, height = data.sizes[image].tolist()
        entry = {"id": image + 1, **(data.image_extras.get(image, {}) if own else {"set": "train"})}
        if str(entry["id"]) in imgs:
            entry["id"] = next(number for number in free if str(number) not in imgs)
        imgs[str(entry["id"])] = entry | {"file_name": data.images[image], "width": width, "height": height}
        by_image[str(entry["id"])] = []
        for i in members:
            x1, y1, x2, y2 = box(data, i)
            item = {"id": i + 1, **(data.extras.get(i, {}) if own else {})}
            if str(item["id"]) in anns:
                item["id"] = next(number for number in free if str(number) not in anns)
            if bad := malformed_instance(data, i, own):
                anns[str(item["id"])] = bad.raw
                continue
            item |= {"image_id": entry["id"], "utf8_string": data.texts[i], points_key: flat_points(data, i),
                     "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}  # fmt: skip
            if points_key != "points":
                item["legibility"] = "illegible" if data.ignore[i] else "legible"
            elif data.ignore[i]:
                item["utf8_string"] = "."
            anns[str(item["id"])] = item
            by_image[str(entry["id"])].append(item["id"])
    document = without(data.document, ("points_key",)) if own else {"info": {"description": "text instances"}}
    yield Rendered(None, LABEL_FILES[0], dump({**document, "imgs": imgs, "anns": anns, "imgToAnns": by_image}, None))
