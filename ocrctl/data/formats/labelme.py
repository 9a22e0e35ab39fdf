"""LabelMe, one JSON file per image; UTF-8. The label of a shape is its text.

{"version": "5.5.0", "flags": {}, "imagePath": "img_1.jpg", "imageData": null, "imageHeight": 720, "imageWidth": 1280,
 "shapes": [{"label": "JOINT", "shape_type": "polygon", "points": [[x, y], ...], "group_id": null, "flags": {}}]}

`shape_type` "rectangle" holds two opposite corners; circles, lines and points are malformed. `###` is ignored.
`imagePath` is relative to the file. https://github.com/wkentaro/labelme
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
    box_points,
    flatten,
    instances,
    malformed_instance,
    pair_points,
    without,
)
from ocrctl.data.formats._images import file_stem, heads_fit, label_paths
from ocrctl.data.formats._json import MALFORMED, dump, read_json
from ocrctl.data.polygons.malformed import malformed_code
from ocrctl.errors import InputError

NAME = "labelme"
LABEL_FILES = ("*.json",)
PER_IMAGE = True
KEEPS = Keeps("polygon", marks=(IGNORED,), line_breaks=True, sizes=True)
IMAGES_FROM = "labels"  # names in the files are relative to it

_EXPECTED = '{"label": TEXT, "shape_type": "polygon", "points": [[x, y], ...]}'


def sniff(path: Path) -> bool:
    return heads_fit(path, ".json", lambda head: head.startswith("{") and '"shapes"' in head)


def read(path: Path) -> Annotations:
    folder = path if path.is_dir() else path.parent
    builder = Builder(path, NAME)
    for file in label_paths(path, ".json"):
        document = read_json(file)
        builder.label_file(file)
        try:
            size = int(document.get("imageWidth") or 0), int(document.get("imageHeight") or 0)
            name = document["imagePath"].replace("\\", "/")
            extra = without(document, ("imagePath", "imageWidth", "imageHeight", "shapes"))
            image = builder.image(name, size=size, extra=extra)
            shapes = list(document["shapes"])
        except MALFORMED as error:
            raise InputError(f"{file}: expected a JSON object with imagePath and shapes.") from error
        for shape in shapes:
            try:
                kind, flat, text = shape.get("shape_type", "polygon"), flatten(shape["points"]), shape["label"]
                if kind == "rectangle" and len(flat) == 4:
                    x1, x2, y1, y2 = *sorted(flat[::2]), *sorted(flat[1::2])
                    flat = list(box_points(x1, y1, x2, y2))
                elif kind not in ("polygon", "rectangle", "rotation"):
                    raise ValueError(kind)
                extra = without(shape, ("label", "points", "shape_type"))
                builder.add(image, flat, text, text == IGNORED, 0, extra)
            except MALFORMED:
                builder.malformed(image, shape, _EXPECTED, malformed_code(shape, "label"))
    return builder.build(folder)


def render(data: Annotations) -> Iterator[Rendered]:
    own = data.format == NAME
    for image, members in instances(data):
        shapes = []
        for i in members:
            if bad := malformed_instance(data, i, own):
                shapes.append(bad.raw)
                continue
            text = IGNORED if data.ignore[i] else data.texts[i]
            shape: dict[str, Any] = {"label": text, "points": pair_points(data, i), "shape_type": "polygon"}
            shapes.append(shape | (data.extras.get(i, {}) if own else {"group_id": None, "flags": {}}))
        width, height = data.sizes[image].tolist()
        document: dict[str, Any] = {"version": "5.5.0", "flags": {}, "imageData": None}
        document = dict(data.image_extras.get(image, {})) if own else document
        document |= {"shapes": shapes, "imagePath": data.images[image], "imageHeight": height, "imageWidth": width}
        yield Rendered(image, f"labels/{file_stem(data.images[image])}.json", dump(document))
