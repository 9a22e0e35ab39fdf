"""Read and write lines of ground-truth text files, numbers followed by a text, in a folder or a zip."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats._detection import Rendered, box_points, instances, malformed_instance
from ocrctl.data.formats._images import (
    file_stem,
    first_label_files,
    image_root,
    image_stem,
    label_names,
    unlabelled,
)
from ocrctl.data.formats._quad_lines import parse_quads
from ocrctl.data.formats._text import head_lines, lines_fit, majority
from ocrctl.data.lmdb.word_source import read_unix_text

Line = tuple[tuple[float, ...], str]  # x1, y1, x2, y2 ..., text
Parse = Callable[[str], Line | None]  # None: the line is not of the format


class LabelFile(NamedTuple):
    """The label file of one image."""

    image: int  # its number
    text: str  # lines separated by \n, without a final empty one


_BLOCK = 1 << 16  # characters of label files read at once: few calls, and the data still fits in the processor's cache
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+|nan|inf)(?:e[-+]?\d+)?"
_BOX = re.compile(rf"\s*({_NUMBER})(?:,\s*|\s+)" + rf"({_NUMBER})(?:,\s*|\s+)" * 2 + rf"({_NUMBER})(.*)$", re.I | re.S)
_QUAD = re.compile(rf"\s*{_NUMBER}\s*(?:,\s*{_NUMBER}\s*){{7}}(?:,|$)", re.I)
_NUMERIC = re.compile(rf"\s*{_NUMBER}\s*$", re.I)


def parse_box(line: str) -> Line | None:
    """Parse `38, 43, 920, 215, "Tiredness"`, `158 128 411 181 "Footpath"` or `38,43,920,215,Tiredness`."""
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
    """Return whether the line starts with eight numbers separated by commas."""
    return _QUAD.match(line) is not None


def parse_quad(line: str) -> Line | None:
    """Parse `377,117,463,117,465,130,378,130,Genaxis, Theatre`: eight numbers, then the text, commas included."""
    parts = line.split(",", 8)
    try:
        points = tuple(map(float, parts[:8]))
    except ValueError:
        return None
    return (points, parts[8] if len(parts) == 9 else "") if len(points) == 8 else None


def parse_polygon(line: str) -> Line | None:
    """Parse any even number of coordinates, at least two, then the text."""
    parts = line.split(",")
    count = next((i for i, part in enumerate(parts) if not _NUMERIC.match(part)), len(parts) - 1)
    count -= count % 2
    return (tuple(map(float, parts[:count])), ",".join(parts[count:])) if count >= 2 else None


def starts_as_points(text: str) -> bool:
    """Return whether the start of a text would be read as further coordinates."""
    first, comma, _ = text.partition(",")
    return bool(comma and _NUMERIC.match(first))


def folder_fits(path: Path, fits: Callable[[str], object], suffix: str = ".txt") -> bool:
    """Return whether most first lines of the first label files of `path` (a folder or one file) fit."""
    return majority(
        first_label_files(path, suffix), lambda file: lines_fit(lines, fits) if (lines := head_lines(file)) else None
    )


def add_lines(builder: Builder, image: int, lines: list[str], parse: Parse, expected: str) -> None:
    """Add each non-blank line to image `image`; a line of another format as malformed."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parsed = parse(line)
        if parsed is None:
            builder.malformed(image, line, expected, line=number)
            continue
        points, text = parsed
        builder.add(image, points, text, text == IGNORED, number)


def add_files(builder: Builder, files: Sequence[LabelFile], parse: Parse, expected: str) -> None:
    """Add several label files as `add_lines` does; plain quads are parsed all at once."""
    full = [file for file in files if file.text] if parse is parse_quad else []
    if full and (quads := parse_quads([file.text for file in full])):
        images = np.repeat(np.array([file.image for file in full], np.int32), quads.counts)
        starts = np.cumsum(quads.counts) - quads.counts
        lines = np.arange(1, len(images) + 1, dtype=np.int32) - np.repeat(starts, quads.counts)
        builder.add_quads(images, quads.points, quads.texts, lines.astype(np.int32))
    elif len(files) > 1:
        for file in files:
            add_files(builder, [file], parse, expected)
    elif files:
        add_lines(builder, files[0].image, files[0].text.split("\n"), parse, expected)


def render_folder(
    data: Annotations, name: str, start: Callable[[int], str], quote: str = "", name_of: str = "gt/gt_{}.txt"
) -> Iterator[Rendered]:
    """Render one label file per image: for each instance the result of `start`, then its text in quotes."""
    own = data.format == name
    for image, members in instances(data):
        texts = ((i, IGNORED if data.ignore[i] else data.texts[i]) for i in members)
        lines = (
            f"{bad.raw}\n" if (bad := malformed_instance(data, i, own)) else f"{start(i)}{quote}{text}{quote}\n"
            for i, text in texts
        )
        yield Rendered(image, name_of.format(file_stem(data.images[image])), "".join(lines).encode())


def read_folder(path: Path, name: str, parse: Parse, expected: str, suffix: str = ".txt") -> Annotations:
    """Read gt_IMAGE.txt files, one per image. Raises InputError when most lines are of another format."""
    folder, files = label_names(path, suffix)
    builder = Builder(path, name)
    stems = [image_stem(file) for file in files]
    root, names = image_root(stems, folder)
    if root != folder:
        builder.notes.append(f"images are read from {root}")
    if not path.is_file():
        builder.notes += unlabelled(stems, root, names)
    waiting: list[LabelFile] = []
    size, base = 0, "" if str(folder) == "." else os.path.join(folder, "")
    for file, stem in zip(files, stems, strict=True):
        builder.label_file(base + file)
        image = builder.image(names.get(stem, f"{stem}.jpg"))
        text = read_unix_text(base + file).rstrip("\n")
        waiting.append(LabelFile(image, text))
        size += len(text)
        if size >= _BLOCK:
            add_files(builder, waiting, parse, expected)
            waiting, size = [], 0
    add_files(builder, waiting, parse, expected)
    return builder.build(root)
