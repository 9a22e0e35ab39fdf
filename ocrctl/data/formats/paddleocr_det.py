"""PaddleOCR detection, `Label.txt`: path, TAB, JSON list of instances, one image per line; UTF-8. Also PPOCRLabel's.

    train/img_1.jpg<TAB>[{"transcription": "JOINT", "points": [[310, 104], [416, 141], [418, 216], [312, 179]]}]

`###` and `*` are ignored, as is `"difficult": true` (PPOCRLabel). Paths are relative to the label file's folder or, in
PPOCRLabel's files, to its parent: the one with most of the images. A PPOCRLabel folder also holds `fileState.txt`
(path, TAB, 1 for a page marked done) and the derived `rec_gt.txt` with `crop_img/`.
https://github.com/PFCCLab/PPOCRLabel  https://paddlepaddle.github.io/PaddleOCR/ (OCR datasets)
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from ocrctl.data.formats._json import MALFORMED, dump
from ocrctl.data.formats._text import most_lines_fit
from ocrctl.data.lmdb.word_source import image_path, read_lines
from ocrctl.data.polygons.malformed import malformed_code

NAME = "paddleocr-det"
LABEL_FILES = ("Label.txt", "*abel*.txt", "*.txt")
PER_IMAGE = False
MARKS = (IGNORED, "*")
KEEPS = Keeps("polygon", ignore="flag", marks=MARKS, line_breaks=True)

_EXPECTED = 'IMAGE<TAB>[{"transcription": TEXT, "points": [[x, y], ...]}, ...]'
_INSTANCE = '{"transcription": TEXT, "points": [[x, y], ...]}'
_LONG_NAME = 200  # maximum characters of the image name from a line without TAB
_LINE = re.compile(r'[^\t]+\t\s*\[\s*(?:\]\s*$|\{(?=.*"points"\s*:)(?=.*"transcription"\s*:))')
_KNOWN = ("transcription", "points", "difficult")
_EASY = {"difficult": False}  # PPOCRLabel writes it for nearly every instance: kept as one object


def sniff(path: Path) -> bool:
    return most_lines_fit(
        path, lambda line: _LINE.match(line) or (len(line) > 2000 and "\t[{" in line and '"points"' in line)
    )


def read(path: Path) -> Annotations:
    builder = Builder(path, NAME)
    builder.label_file(path)
    for line, text in enumerate(read_lines(path), 1):
        if not text.strip():
            continue
        name, tab, body = text.partition("\t")
        try:
            items = json.loads(body)
            if not tab or not isinstance(items, list):
                raise ValueError
        except (ValueError, RecursionError):
            builder.malformed_image(name[:_LONG_NAME], text, _EXPECTED, line=line)
            continue
        image = builder.image(name, line=line)
        if _add_plain(builder, image, items, line):
            continue
        for item in items:
            try:
                label, points = item["transcription"], flatten(item["points"])
                ignore = bool(item.get("difficult")) or label in MARKS
                if not isinstance(label, str):
                    raise TypeError
                extra = without(item, _KNOWN)
                if "difficult" in item and (not item["difficult"] or label in MARKS):  # not implied by `ignore`
                    extra["difficult"] = item["difficult"]
                builder.add(image, points, label, ignore, line, _EASY if extra == _EASY else extra)
            except MALFORMED:
                builder.malformed(image, item, _INSTANCE, malformed_code(item, "transcription"), line=line)
    root = choose_root(builder.images, path)
    if root != path.parent:
        builder.notes.append(f"images are read from {root}")
    _companions(builder, path.parent)
    return builder.build(root)


def _add_plain(builder: Builder, image: int, items: list[Any], line: int) -> bool:
    """Add instances that hold only a text and points, all at once. Returns False, with none added, for others."""
    try:
        texts = [item["transcription"] for item in items]
        outlines = [item["points"] for item in items]
        if any(len(item) != 2 for item in items) or not all(isinstance(text, str) for text in texts):
            return False
        flat = array("d", [value for outline in outlines for x, y in outline for value in (x, y)])
        builder.add_all(image, flat, list(map(len, outlines)), texts, [text in MARKS for text in texts], line)
    except MALFORMED:
        return False
    return True


def render(data: Annotations) -> Iterator[Rendered]:
    own = data.format == NAME
    lines = []
    for image, members in instances(data):
        if (line := malformed_entry(data, members, own)) is not None:
            lines.append(f"{line}\n".encode())
            continue
        items = []
        for i in members:
            if bad := malformed_instance(data, i, own):
                items.append(bad.raw)
                continue
            item: dict[str, Any] = {"transcription": data.texts[i], "points": pair_points(data, i)}
            if own:
                item |= data.extras.get(i, {})
            if data.ignore[i] and data.texts[i] not in MARKS:
                item["difficult"] = True
            items.append(item)
        lines.append(f"{data.images[image]}\t".encode() + dump(items, None))
    yield Rendered(None, LABEL_FILES[0], b"".join(lines))


def _companions(builder: Builder, folder: Path) -> None:
    """Note the other files of a PPOCRLabel folder: derived word crops, and which pages are marked done."""
    if (folder / "rec_gt.txt").is_file():
        builder.notes.append(f"{folder / 'rec_gt.txt'} is derived from this label file and is not read")
    states = folder / "fileState.txt"
    if states.is_file():
        pairs = [line.split("\t") for line in read_lines(states)]
        done = {Path(image_path(pair[0])).name for pair in pairs if len(pair) == 2 and pair[1].strip() == "1"}
        builder.unchecked += [i for i, name in enumerate(builder.images) if Path(name).name not in done]
