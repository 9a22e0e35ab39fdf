"""Lines of ground-truth text files: numbers, then a text; in a folder or in a zip."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from ocrctl.data.annotation_builder import Builder
from ocrctl.data.annotations import IGNORED, Annotations
from ocrctl.data.formats._detection import Rendered, box_points, instances
from ocrctl.data.formats._pictures import image_root, label_paths, looked_at, picture_stem, stem_of
from ocrctl.data.formats._text import head_lines
from ocrctl.data.words import read_lines
from ocrctl.errors import InputError

Line = tuple[tuple[float, ...], str]  # x1, y1, x2, y2 ..., text
Parse = Callable[[str], Line | None]  # None: the line is not of the format

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+|nan|inf)(?:e[-+]?\d+)?"
_BOX = re.compile(rf"\s*({_NUMBER})(?:,\s*|\s+)" + rf"({_NUMBER})(?:,\s*|\s+)" * 2 + rf"({_NUMBER})(.*)$", re.I | re.S)
_QUAD = re.compile(rf"\s*{_NUMBER}\s*(?:,\s*{_NUMBER}\s*){{7}}(?:,|$)", re.I)
_NUMERIC = re.compile(rf"\s*{_NUMBER}\s*$", re.I)


def parse_box(line: str) -> Line | None:
    """`38, 43, 920, 215, "Tiredness"`, `158 128 411 181 "Footpath"` or `38,43,920,215,Tiredness`."""
    match = _BOX.match(line)
    if not match or is_quad(line):
        return None
    rest = match[5].strip()
    comma = rest.startswith(",")
    rest = rest[1:].lstrip() if comma else rest
    quoted = len(rest) >= 2 and rest[0] == rest[-1] == '"'
    if not quoted and rest and not comma:
        return None
    return box_points(*(float(match[i]) for i in range(1, 5))), rest[1:-1] if quoted else rest


def is_quad(line: str) -> bool:
    """Whether eight numbers with commas start the line."""
    return _QUAD.match(line) is not None


def parse_quad(line: str) -> Line | None:
    """`377,117,463,117,465,130,378,130,Genaxis, Theatre`: eight numbers; the rest is the text, commas included."""
    parts = line.split(",", 8)
    try:
        points = tuple(map(float, parts[:8]))
    except ValueError:
        return None
    return (points, parts[8] if len(parts) == 9 else "") if len(points) == 8 else None


def quads_at_once(lines: list[str]) -> tuple[list[float], list[str]] | None:
    """What `parse_quad` makes of every one of `lines`: eight coordinates each, one after another, and the texts.

    None when a line has no text of its own, is blank or not of the format: then they are looked at one by one.
    """
    rows = [line.split(",", 8) for line in lines]
    if set(map(len, rows)) != {9}:
        return None
    texts = [row.pop() for row in rows]
    try:
        return list(map(float, chain.from_iterable(rows))), texts
    except ValueError:
        return None


def parse_polygon(line: str) -> Line | None:
    """Any even number of coordinates, at least two, then the text."""
    parts = line.split(",")
    count = next((i for i, part in enumerate(parts) if not _NUMERIC.match(part)), len(parts) - 1)
    count -= count % 2
    return (tuple(map(float, parts[:count])), ",".join(parts[count:])) if count >= 2 else None


def folder_fits(path: Path, fits: Callable[[str], object]) -> bool:
    """Whether most first lines of most first .txt files of `path` (a folder or one file) fit."""
    counts = []
    for file in looked_at(path, ".txt"):
        if lines := head_lines(file):
            counts.append(2 * sum(bool(fits(line)) for line in lines) > len(lines))
    return 2 * sum(counts) > len(counts)


def add_lines(
    builder: Builder, image: int, lines: list[str], parse: Parse, where: str, expected: str, mark: str = IGNORED
) -> None:
    """Add each non-blank line to picture `image`. Raises InputError naming `where`:line and what was expected."""
    at_once = quads_at_once(lines) if parse is parse_quad else None
    if at_once is not None:
        builder.add_quads(image, *at_once, mark)
        return
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parsed = parse(line)
        if parsed is None:
            raise InputError(f"{where}:{number}: expected {expected}, found {line[:60]!r}.")
        points, text = parsed
        builder.add(image, points, text, text == mark, number)


def render_folder(data: Annotations, start: Callable[[int], str], quote: str = "") -> Iterator[Rendered]:
    """One gt_IMAGE.txt a picture: for each instance what `start` makes of its points, then its text in quotes."""
    for image, members in instances(data):
        texts = ((i, IGNORED if data.ignore[i] else data.texts[i]) for i in members)
        lines = (f"{start(i)}{quote}{text}{quote}\n" for i, text in texts)
        yield Rendered(image, f"gt/gt_{stem_of(data.images[image])}.txt", "".join(lines).encode())


def read_folder(path: Path, name: str, parse: Parse, expected: str) -> Annotations:
    """Read gt_IMAGE.txt files, one a picture. Raises InputError naming file:line."""
    files = label_paths(path, ".txt")
    builder = Builder(path, name)
    folder = path if path.is_dir() else path.parent
    root, names = image_root([picture_stem(file) for file in files], folder)
    if root != folder:
        builder.notes.append(f"pictures are taken from {root}")
    for file in files:
        stem = picture_stem(file)
        builder.label_file(file)
        image = builder.image(names.get(stem, f"{stem}.jpg"))
        add_lines(builder, image, read_lines(file), parse, str(file), expected)
    return builder.build(root)
