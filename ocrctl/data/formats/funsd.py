"""FUNSD forms, `annotations/0001.json` for each image of `images/`; UTF-8. Words are the instances.

{"form": [{"id": 0, "text": "Registration No.", "label": "question", "box": [x1, y1, x2, y2], "linking": [[0, 1]],
           "words": [{"text": "Registration", "box": [x1, y1, x2, y2]}, {"text": "No.", "box": [...]}]}]}

Fields keep id, text, label, box and linking when written back; words from other formats become one field each, labelled
"other". An empty text is ignored (FUNSD has a few words without). https://guillaumejaume.github.io/FUNSD/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats._detection import Keeps, Rendered, box, box_points, instances, malformed_instance, without
from ocrctl.data.formats._images import file_stem, heads_fit, image_root, label_paths
from ocrctl.data.formats._json import MALFORMED, dump, read_object
from ocrctl.data.polygons.malformed import malformed_code

NAME = "funsd"
LABEL_FILES = ("*.json",)
PER_IMAGE = True
KEEPS = Keeps("box", marks=("",), line_breaks=True, no_text=False)

_FIELD = "field of the form"  # of a word, in the index
_EXPECTED = '{"text": TEXT, "box": [x1, y1, x2, y2]} in words'


def sniff(path: Path) -> bool:
    return heads_fit(path, ".json", lambda head: head.startswith("{") and '"form"' in head[:200])


def read(path: Path) -> Annotations:
    files = label_paths(path, ".json")
    builder = Builder(path, NAME)
    root, names = image_root([file.stem for file in files], path if path.is_dir() else path.parent)
    for file in files:
        document, form = read_object(file, "form", list)
        builder.label_file(file)
        image = builder.image(names.get(file.stem, f"{file.stem}.png"), extra={**document, "form": []})
        for position, entry in enumerate(form):
            fields = builder.image_extras[image]["form"]
            try:
                words, rest = list(entry["words"]), without(entry, ("words",))
            except MALFORMED:
                fields.append(None)  # filled or dropped when written
                builder.malformed(image, entry, _EXPECTED, extra={_FIELD: position}, what=f"form[{position}]")
                continue
            fields.append(rest)
            for word in words:
                try:
                    text = word["text"]
                    extra = {**without(word, ("text", "box")), _FIELD: position}
                    builder.add(image, box_points(*word["box"]), text, not text, 0, extra)
                except MALFORMED:
                    builder.malformed(
                        image,
                        word,
                        _EXPECTED,
                        malformed_code(word, "text"),
                        extra={_FIELD: position},
                        what=f"form[{position}]",
                    )
    return builder.build(root)


def render(data: Annotations) -> Iterator[Rendered]:
    own = data.format == NAME
    for image, members in instances(data):
        document = data.image_extras.get(image, {}) if own else {}
        fields: list[Any] = [None if entry is None else {**entry, "words": []} for entry in document.get("form", [])]
        for position, i in enumerate(members):
            text = "" if data.ignore[i] else data.texts[i]
            extra = dict(data.extras.get(i, {})) if own else {}
            number = extra.pop(_FIELD, None)
            if bad := malformed_instance(data, i, own):
                if fields[number] is None:
                    fields[number] = bad.raw
                else:
                    fields[number]["words"].append(bad.raw)
                continue
            word = {"text": text, "box": list(box(data, i)), **extra}
            if number is None:
                fields.append({"id": position, "text": text, "label": "other", "box": word["box"], "linking": [],
                               "words": [word]})  # fmt: skip
            else:
                fields[number]["words"].append(word)
        form = [field for field in fields if field is not None]
        yield Rendered(
            image,
            f"annotations/{file_stem(data.images[image])}.json",
            dump({**document, "form": form}),
        )
