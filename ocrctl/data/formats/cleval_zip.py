"""Zip of ground-truth texts for CLEval and the RRC: `gt_img_1.txt` for each image, with boxes, quads or polygons.

    gt_img_1.txt     38, 43, 920, 215, "Tiredness"                      (box: ICDAR 2013)
    gt_img_2.txt     377,117,463,117,465,130,378,130,Genaxis Theatre    (quad: ICDAR 2015)
    gt_img3.txt      206,633,251,811,...,629,PETROSAINS                 (polygon: Total-Text)

A zip uses one of the three throughout, detected from its lines (of a long zip, from 20,000 spread over all of it):
polygons when a tenth of them start with fewer than eight numbers, or with more that continue near the first four
points. In a zip of polygons, a text that starts with a number and a comma is read as points. `###` is ignored. Images
are beside the zip or in a folder beside it. Written as quads or polygons, recorded in a comment of the zip, entries in
the order of the images, without time stamps.
https://github.com/clovaai/CLEval
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats._detection import Keeps, Rendered, flat_points, instances, malformed_instance
from ocrctl.data.formats._gt_lines import LabelFile, Parse, add_files, is_quad, parse_box, parse_polygon, parse_quad
from ocrctl.data.formats._images import file_stem, image_root, image_stem
from ocrctl.data.formats.archives import DAMAGED, zipped_texts
from ocrctl.files.regular import check_regular

NAME = "cleval-zip"
LABEL_FILES = ("*.zip",)
PER_IMAGE = False
KEEPS = Keeps("polygon", marks=(IGNORED,), no_points=False, leading_numbers=False)

Kind = Literal["boxes", "quads", "polygons"]
_READERS: dict[Kind, tuple[Parse, str]] = {
    "boxes": (parse_box, 'LEFT, TOP, RIGHT, BOTTOM, "TEXT"'),
    "quads": (parse_quad, "8 numbers and the text, separated by commas"),
    "polygons": (parse_polygon, "an even number of coordinates and the text"),
}
_KINDS: dict[bytes, Kind] = {b"ocrctl: quads": "quads", b"ocrctl: polygons": "polygons"}  # comments of our zips
_SAMPLED_LINES = 20_000  # lines, spread over the zip, from which its kind is detected
_REACH = 3  # distance of further points, in sizes of the box of the first four


def sniff(path: Path) -> bool:
    try:
        check_regular(path)
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".txt")]
            lines = [
                line
                for name in names[:4]
                for line in _start(archive, name).decode("utf-8-sig", errors="replace").split("\n")
            ]
    except (OSError, *DAMAGED):
        return False
    lines = [line for line in lines if line.strip()][:20]
    return 2 * sum(is_quad(line) or parse_box(line) is not None for line in lines) > len(lines)


def _start(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as part:
        return part.read(4096)


def read(path: Path) -> Annotations:
    texts = zipped_texts(path)
    comment = _comment(path)
    kind = _KINDS.get(comment) or _kind([line for _, content in texts for line in content.split("\n") if line.strip()])
    parse, expected = _READERS[kind]
    builder = Builder(path, NAME)
    builder.label_file(path)
    stems = [image_stem(Path(name)) for name, _ in texts]
    root, names = image_root(stems, path.parent)
    for stem, (name, content) in zip(stems, texts, strict=True):
        image = builder.image(names.get(stem, f"{stem}.jpg"), extra={"entry": name})
        add_files(builder, [LabelFile(image, content.rstrip("\n"))], parse, expected)
    return builder.build(root)


def holds_boxes(path: Path) -> bool:
    """Return whether the lines of the zip are boxes: left, top, right, bottom."""
    lines = [line for _, content in zipped_texts(path) for line in content.split("\n") if line.strip()]
    return _comment(path) not in _KINDS and _kind(lines) == "boxes"


def render(data: Annotations) -> Iterator[Rendered]:
    buffer = io.BytesIO()
    own = data.format == NAME
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for image, members in instances(data):
            lines = (
                f"{bad.raw}\n"
                if (bad := malformed_instance(data, i, own))
                else ",".join(map(str, flat_points(data, i))) + f",{IGNORED if data.ignore[i] else data.texts[i]}\n"
                for i in members
            )
            name = data.image_extras.get(image, {}).get("entry", "") if own else ""
            if not name or name.startswith("/") or ".." in PurePosixPath(name).parts:  # outside the folder
                name = f"gt_{file_stem(data.images[image])}.txt"
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, "".join(lines))
        kind: Kind = "quads" if (np.diff(data.offsets) == 4).all() else "polygons"
        archive.comment = next(comment for comment, other in _KINDS.items() if other == kind)
    yield Rendered(None, "gt.zip", buffer.getvalue())


def _kind(lines: list[str]) -> Kind:
    """Detect the kind of `lines`."""
    lines = lines[:: len(lines) // _SAMPLED_LINES + 1]
    starts = [parsed[0] if (parsed := parse_polygon(line)) else () for line in lines]
    few = sum(len(start) < 8 for start in starts)
    more = [start for start in starts if len(start) > 8]
    if 2 * sum(len(start) == 4 for start in starts) > len(lines):
        return "boxes"
    going_on = 10 * len(more) > len(lines) and 2 * sum(map(_continues, more)) > len(more)
    if 10 * few > len(lines) or going_on:
        return "polygons"
    return "quads"


def _continues(start: tuple[float, ...]) -> bool:
    """Whether numbers after the first eight may be points of the same polygon, rather than a price in the text."""
    sides = start[0:8:2], start[1:8:2]
    reach = _REACH * max(max(side) - min(side) for side in sides)
    return all(
        min(side) - reach <= value <= max(side) + reach
        for side, values in zip(sides, (start[8::2], start[9::2]), strict=True)
        for value in values
    )


def _comment(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:  # already read by `zipped_texts`
        return archive.comment
