"""Read result files in the formats of the Robust Reading Competition and CLEval, one per image.

    res_img_1.txt    377,117,463,117,465,130,378,130                    (a quad)
    res_img_2.txt    377,117,463,117,465,130,378,130,0.97,Genaxis       (with --scores, and a text)
    img_3.txt        38,43,920,215                                      (a box)
    img_4.txt        206,633,251,811,386,931,140,629,150,640            (a polygon)

In a folder or a zip; names start with res_, gt_ or neither. Boxes, quads or polygons throughout: boxes when most lines
start with four numbers, polygons when more than a tenth of the lines do not start with eight. A text that is a number
may follow.
"""

from __future__ import annotations

import re
import zipfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrctl.data.annotations.builder import Builder
from ocrctl.data.annotations.index import Annotations
from ocrctl.data.formats import box_points, image_stem, label_paths
from ocrctl.data.formats.archives import zipped_texts
from ocrctl.data.lmdb.word_source import read_lines
from ocrctl.errors import InputError

_LEADING = re.compile(r"(?:\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?\s*(?:,|$))*", re.IGNORECASE)
_QUOTED = re.compile(r'\s*"(.*)"\s*$', re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Line:
    file: str
    number: int
    image: int
    parts: list[str]
    numbers: int  # count of leading parts that are numbers


def read_results(path: Path, scores: bool) -> tuple[Annotations, NDArray[np.float64] | None]:
    """Read the results at `path`; with `scores`, also the score of each, which follows its points.

    Raises InputError naming file:line and what was expected.
    """
    builder = Builder(path, "result lines")
    lines: list[_Line] = []
    for name, content in _texts(path):
        builder.label_file(f"{path}/{name}" if path.is_dir() or zipfile.is_zipfile(path) else str(path))
        image = builder.image(f"{image_stem(Path(name))}.jpg")
        for number, raw in enumerate(content, 1):
            if raw.strip():
                lines.append(_Line(builder.label_files[-1], number, image, raw.split(","), _numbers(raw)))
    coordinates = _coordinates(lines, int(scores))
    bare = [line for line in lines if line.numbers == len(line.parts) and line.numbers % 2 == 0]
    unscored = scores and len(bare) == len(lines)  # nothing but pairs of numbers
    found = array("d")
    for line in lines:
        count = coordinates or (line.numbers - scores) // 2 * 2
        short = line.numbers < count + scores or count < 4
        if short or unscored or (coordinates == 4 and line.numbers - scores > 7):
            what = f"{coordinates or 'an even number of'} coordinates" + (" and a score" if scores else "")
            raise InputError(
                f"{line.file}:{line.number}: expected {what}, found {','.join(line.parts)[:60]!r}.",
                hint="--scores requires a score after the points of each line" if scores else None,
            )
        points = tuple(map(float, line.parts[:count]))
        if coordinates == 4 and inverted(points):
            raise inverted_box(f"{line.file}:{line.number}", points)
        text = unquoted(",".join(line.parts[count + scores :]).strip("\r"))
        builder.add(line.image, box_points(*points) if coordinates == 4 else points, text, False, line.number)
        if scores:
            found.append(float(line.parts[count]))
    return builder.build(path.parent), np.array(found) if scores else None


def inverted(points: Sequence[float]) -> bool:
    """Return whether left, top, right, bottom ends before it starts, which the ICDAR and CLEval scripts refuse."""
    left, top, right, bottom = points
    return left > right or top > bottom


def inverted_box(where: str, points: Sequence[float]) -> InputError:
    """Return the error of a box with right < left or bottom < top."""
    shown = ",".join(f"{value:g}" for value in points)
    return InputError(
        f"{where}: expected left, top, right, bottom with left <= right and top <= bottom, found {shown}.",
        hint="swap the two values in this line; the ICDAR and CLEval scripts also refuse such a box",
    )


def unquoted(text: str) -> str:
    """Remove the quotes of `"say \\"a\\""` -> `say "a"`, as in the official scripts; other text is unchanged."""
    match = _QUOTED.match(text)
    return match[1].replace("\\\\", "\\").replace('\\"', '"') if match else text


def _numbers(line: str) -> int:
    """Count the numbers, separated by commas, at the start of the line."""
    match = _LEADING.match(line)
    head = match[0] if match else ""
    return head.count(",") + (len(head) == len(line) and not head.rstrip().endswith(","))


def _coordinates(lines: list[_Line], scores: int) -> int:
    """Return 4 for boxes, 8 for quads, 0 for polygons."""
    counts = [line.numbers - scores for line in lines]
    if 2 * sum(count in (4, 5) for count in counts) > len(counts):
        return 4
    return 8 if 10 * sum(count not in (8, 9) for count in counts) <= len(counts) else 0


def _texts(path: Path) -> list[tuple[str, list[str]]]:
    if path.is_file() and zipfile.is_zipfile(path):
        return [(name, content.split("\n")) for name, content in zipped_texts(path)]
    return [(file.name, read_lines(file)) for file in label_paths(path, ".txt")]
