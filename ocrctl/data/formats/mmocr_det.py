"""MMOCR 1.x detection and spotting, `textdet_train.json`: one JSON object; UTF-8. `img_path` is below the file's
folder.

{"metainfo": {"dataset_type": "TextDetDataset", "task_name": "textdet", "category": [{"id": 0, "name": "text"}]},
 "data_list": [{"img_path": "train/img_1.jpg", "height": 720, "width": 1280,
   "instances": [{"polygon": [x1, y1, x2, y2, ...], "bbox": [x1, y1, x2, y2], "bbox_label": 0, "ignore": false,
                  "text": "JOINT"}]}]}

`text` is in spotting files only (`textspotting_train.json`, dataset_type TextSpottingDataset, or TextSpotterDataset in
its documentation). `polygon` may be called `mask`; without it the corners of `bbox` are used.
https://mmocr.readthedocs.io/en/latest/user_guides/dataset_prepare.html
"""

from __future__ import annotations

from collections.abc import Iterator
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
    malformed_entry,
    malformed_instance,
    outline,
    without,
)
from ocrctl.data.formats._images import choose_root
from ocrctl.data.formats._json import MALFORMED, dump, read_object
from ocrctl.data.formats._text import head_text
from ocrctl.data.polygons.malformed import malformed_code

NAME = "mmocr-det"
LABEL_FILES = ("textspotting_train.json", "textdet_train.json", "text*.json")
PER_IMAGE = False
KEEPS = Keeps("polygon", ignore="flag", line_breaks=True, sizes=True)

_OUTLINES = ("polygon", "mask")
_EXPECTED = '{"img_path": IMAGE, "instances": [{"polygon": [x1, y1, ...], "ignore": false}]}'


_INSTANCE = '{"polygon": [x1, y1, ...], "ignore": false}'


def sniff(path: Path) -> bool:
    head = head_text(path)
    detection = '"polygon"' in head or '"bbox"' in head or '"textdet"' in head or '"textspotting"' in head
    return head.startswith("{") and '"data_list"' in head and detection


def read(path: Path) -> Annotations:
    document, entries = read_object(path, "data_list", list)
    builder = Builder(path, NAME)
    builder.label_file(path)
    builder.document = without(document, ("data_list",))
    for index, entry in enumerate(entries):
        try:
            size = int(entry.get("width") or 0), int(entry.get("height") or 0)
            extra = without(entry, ("img_path", "instances", "width", "height"))
            items = list(entry["instances"])
            image = builder.image(entry["img_path"], size=size, extra=extra)
        except MALFORMED:
            named = isinstance(entry, dict) and isinstance(entry.get("img_path"), str)
            builder.malformed_image(entry["img_path"] if named else f"data_list[{index}]", entry, _EXPECTED)
            continue
        for item in items:
            try:
                _add(builder, image, outline(item, _OUTLINES, sized=False), item)
            except MALFORMED:
                builder.malformed(image, item, _INSTANCE, _fault(item), what=f"data_list[{index}]")
    return builder.build(choose_root(builder.images, path))


def render(data: Annotations) -> Iterator[Rendered]:
    own = data.format == NAME
    entries = []
    for image, members in instances(data):
        if (raw := malformed_entry(data, members, own)) is not None:
            entries.append(raw)
            continue
        items: list[dict[str, Any]] = []
        for i in members:
            if bad := malformed_instance(data, i, own):
                items.append(bad.raw)
                continue
            item: dict[str, Any] = {"polygon": flat_points(data, i), "bbox": list(box(data, i)), "bbox_label": 0,
                                    "ignore": bool(data.ignore[i]), "text": data.texts[i]}  # fmt: skip
            items.append(item | data.extras.get(i, {}) if own else item)
        width, height = data.sizes[image].tolist()
        entry: dict[str, Any] = {"img_path": data.images[image]}
        entry |= {"height": height, "width": width} if width else {}
        entry |= data.image_extras.get(image, {}) if own else {}
        entries.append(entry | {"instances": items})
    metainfo = {"dataset_type": "TextSpottingDataset", "task_name": "textspotting",
                "category": [{"id": 0, "name": "text"}]}  # fmt: skip
    document = data.document if own and data.document else {"metainfo": metainfo}
    yield Rendered(None, LABEL_FILES[0], dump({**document, "data_list": entries}))


def _fault(item: Any) -> str:
    return malformed_code(item, "text", text_free=isinstance(item, dict) and "text" not in item)


def _add(builder: Builder, image: int, points: Any, item: dict[str, Any]) -> None:
    text = item.get("text", "")
    if not isinstance(text, str):
        raise TypeError
    extra = without(item, (*_OUTLINES, "bbox", "ignore", "text"))
    builder.add(image, points, text, bool(item.get("ignore")), 0, extra)
