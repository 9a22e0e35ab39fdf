"""AI-Hub (Korea) OCR, one JSON file per image with dotted keys; UTF-8.

{"images": [{"image.file.name": "0001.jpg", "image.width": 2480, "image.height": 3508, "image.make.code": "..."}],
 "annotations": [{"id": 1, "annotation.type": "rectangle", "annotation.text": "합계", "annotation.bbox": [x, y, w, h]}]}

`image` and `annotation` may be nested objects ({"annotation": {"bbox": ..., "text": ...}}), or their keys plain, as in
COCO ({"images": [{"file_name": ...}], "annotations": [{"bbox": ..., "text": ...}]}). Four numbers are left, top, width
and height; eight or more, or pairs, are points, which are written back; polygons of other formats become boxes. An
empty text, `###` or `xxx` is ignored. Images are beside the file, in a folder beside its own, or in a parallel tree of
images (images/a/b for labels/a/b). https://aihub.or.kr
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats._detection import (
    Keeps,
    Rendered,
    box,
    box_points,
    flat_points,
    flatten,
    instances,
    malformed_instance,
    number,
    without,
)
from ocrctl.data.formats._images import file_stem, heads_fit, image_root, label_paths
from ocrctl.data.formats._json import MALFORMED, dump, read_json
from ocrctl.data.polygons.malformed import ENTRY, malformed_code
from ocrctl.errors import InputError

NAME = "aihub"
LABEL_FILES = ("*.json",)
PER_IMAGE = True
MARKS = (IGNORED, "xxx")
KEEPS = Keeps("box", own_shape="polygon", marks=MARKS, line_breaks=True, sizes=True, no_text=False)

_EXPECTED = '{"annotation.text": TEXT, "annotation.bbox": [x, y, w, h]}'
_KNOWN = ("annotation.bbox", "annotation.text")


def sniff(path: Path) -> bool:
    return heads_fit(path, ".json", _fits)


def read(path: Path) -> Annotations:
    files = label_paths(path, ".json")
    builder = Builder(path, NAME)
    root, names = image_root([file.stem for file in files], path if path.is_dir() else path.parent)
    for file in files:
        document = read_json(file)
        builder.label_file(file)
        try:
            entries = document.get("images") or document.get("image")
            if isinstance(entries, list) and len(entries) > 1:
                raise InputError(f"{file}: holds {len(entries)} images, expected one file per image.")
            info = _dotted(entries[0] if isinstance(entries, list) else entries, "image")
            items = document.get("annotations") or document.get("annotation") or []
            if not isinstance(items, list):
                raise TypeError(items)
            stem = file_stem(str(info.get("image.file.name", file.name)))
            name = names.get(stem) or names.get(file.stem) or str(info.get("image.file.name", f"{file.stem}.jpg"))
            size = int(info.get("image.width") or 0), int(info.get("image.height") or 0)
            extra = {"info": info, "rest": without(document, ("images", "image", "annotations", "annotation"))}
            image = builder.image(name, size=size, extra=extra)
        except MALFORMED as error:
            raise InputError(f"{file}: expected a JSON object with images and annotations.") from error
        for raw in items:
            try:
                item = _dotted(raw, "annotation")
                text = "" if item["annotation.text"] is None else item["annotation.text"]
                flat = [float(value) for value in flatten(item["annotation.bbox"])]
                if len(flat) == 4:
                    flat = list(box_points(flat[0], flat[1], flat[0] + flat[2], flat[1] + flat[3]))
                builder.add(image, flat, text, not text or text in MARKS, 0, without(item, _KNOWN))
            except MALFORMED:
                item = _dotted(raw, "annotation") if isinstance(raw, dict) else {}
                name = malformed_code(item, "annotation.text", text_free="annotation.text" in item) if item else ENTRY
                builder.malformed(image, raw, _EXPECTED, name)
    return builder.build(root)


def render(data: Annotations) -> Iterator[Rendered]:
    own = data.format == NAME
    for image, members in instances(data):
        items = []
        for position, i in enumerate(members, 1):
            if bad := malformed_instance(data, i, own):
                items.append(bad.raw)
                continue
            x1, y1, x2, y2 = box(data, i)
            upright = flat_points(data, i) == list(box_points(x1, y1, x2, y2))
            bbox = [x1, y1, number(float(x2) - x1), number(float(y2) - y1)] if upright else flat_points(data, i)
            ignored = data.ignore[i] and data.texts[i] not in (*MARKS, "")
            item = data.extras.get(i, {}) if own else {"id": position, "annotation.type": "rectangle"}
            text = IGNORED if ignored else data.texts[i]
            items.append(item | {"annotation.text": text, "annotation.bbox": bbox})
        width, height = data.sizes[image].tolist()
        extra = data.image_extras.get(image, {}) if own else {}
        info = {**extra.get("info", {}), "image.file.name": Path(data.images[image]).name}
        info |= {"image.width": width, "image.height": height}
        document = {**extra.get("rest", {}), "images": [info], "annotations": items}
        yield Rendered(image, f"labels/{file_stem(data.images[image])}.json", dump(document))


def _fits(head: str) -> bool:
    nested = '"bbox"' in head and ('"annotation"' in head or ('"annotations"' in head and '"text"' in head))
    dotted = '"annotation.bbox"' in head or '"image.file.name"' in head
    return head.startswith("{") and '"data_list"' not in head and (dotted or nested)


def _dotted(value: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Convert {"annotation": {"bbox": ..}} or {"bbox": ..} to {"annotation.bbox": ..}; dotted keys are kept."""
    inner = value.get(prefix)
    merged = {**without(value, (prefix,)), **inner} if isinstance(inner, dict) else dict(value)
    plain = {"bbox", "text", "width", "height", "file_name", "file.name"}
    renamed = {(f"{prefix}.{key.replace('_', '.')}" if key in plain else key): item for key, item in merged.items()}
    return renamed
