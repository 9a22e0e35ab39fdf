"""What the detection formats share: what each can express, finding pictures and label files, writing numbers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from ocrctl.data.annotations import Annotations
from ocrctl.data.formats._text import IMAGE_SUFFIX
from ocrctl.errors import InputError

_IMAGE = re.compile(rf".*{IMAGE_SUFFIX}$", re.IGNORECASE)
_IMAGE_FOLDERS = ("images", "imgs", "img", "image")
_PREFIX = re.compile(r"^(?:poly_gt_|gt_|res_)")
_TRIED = 64  # picture names that decide which root is meant
_LOOKED_AT = 8  # files of a folder that decide whether it is of a format


@dataclass(frozen=True)
class Keeps:
    """What a format can express; `dataset convert` says what is lost by it."""

    shape: Literal["box", "quad", "polygon"]
    text: bool = True
    ignore: Literal["flag", "mark", "none"] = "mark"  # mark: a reserved text, so an ignored text of its own is lost
    marks: tuple[str, ...] = ()  # texts that read as ignored
    line_breaks: bool = False
    sizes: bool = False
    no_text: bool = True  # an instance with an empty text can be written
    edge_spaces: bool = True


@dataclass(frozen=True)
class Rendered:
    """A label file to write. `image` is the picture it belongs to, None when one file holds all."""

    image: int | None
    name: str  # usual path below the data set's folder
    content: bytes


def number(value: float) -> int | float:
    """A whole coordinate as an integer, as nearly every tool writes it."""
    return int(value) if value == value and abs(value) != float("inf") and value == int(value) else value


def flat_points(data: Annotations, index: int) -> list[int | float]:
    """x1, y1, x2, y2 ... of an instance."""
    return [number(value) for value in data.polygon(index).ravel().tolist()]


def pair_points(data: Annotations, index: int) -> list[list[int | float]]:
    """[[x1, y1], [x2, y2] ...] of an instance."""
    return [[number(x), number(y)] for x, y in data.polygon(index).tolist()]


def box(data: Annotations, index: int) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of the upright box around an instance; zeros when it has no points."""
    points = data.polygon(index)
    if not len(points):
        return 0, 0, 0, 0
    (x1, y1), (x2, y2) = points.min(0).tolist(), points.max(0).tolist()
    return number(x1), number(y1), number(x2), number(y2)


def box_points(x1: float, y1: float, x2: float, y2: float) -> tuple[float, ...]:
    """A box as four points from the top left, clockwise."""
    return x1, y1, x2, y1, x2, y2, x1, y2


def flatten(points: Any) -> list[float]:
    """[[x, y], ...] or [x, y, ...] as one flat list of numbers. Raises TypeError or ValueError when it is neither."""
    if points and isinstance(points[0], (list, tuple)):
        points = [value for x, y in points for value in (x, y)]
    return list(points)


def without(item: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """The keys of `item` that the index does not hold, kept so that writing the same format loses nothing."""
    return {key: value for key, value in item.items() if key not in known}


def dump(value: Any, indent: int | None = 1) -> bytes:
    """UTF-8 JSON."""
    return (json.dumps(value, ensure_ascii=False, indent=indent) + "\n").encode("utf-8", "surrogatepass")


def instances(data: Annotations) -> Iterator[tuple[int, range]]:
    """Each picture with its instances."""
    spans = data.spans().tolist()
    for image, (start, stop) in enumerate(pairwise(spans)):
        yield image, range(start, stop)


def choose_root(names: Sequence[str], label: Path) -> Path:
    """The folder that picture `names` of label file `label` start from: the one under which most of them lie.

    Tried: the label file's folder, its parent, and `images`, `imgs`, `img` or a folder of the file's own name in both.
    """
    folder = label.parent
    roots = [folder, folder.parent]
    roots += [base / sub for base in (folder, folder.parent) for sub in (*_IMAGE_FOLDERS, label.stem)]
    roots += [base / sub / label.stem for base in (folder, folder.parent) for sub in _IMAGE_FOLDERS]
    step = max(1, len(names) // _TRIED)
    sample = names[::step][:_TRIED]
    return max(roots, key=lambda root: sum(_is_file(root / name) for name in sample))  # the first of equals


def image_root(stems: Sequence[str], folder: Path) -> tuple[Path, dict[str, str]]:
    """For one label file a picture: the folder of the pictures named like `stems`, and stem to file name.

    It is the label files' own folder, or its parent, when any of the pictures lies there; else the folder in it or
    beside it that holds most of them, of equals the one whose name starts most like its own (ch4_test_images for
    ch4_test_localization_gt).
    """
    best: tuple[tuple[int, int], Path, dict[str, str]] = ((0, 0), folder, {})
    for root in (folder, folder.parent):
        found = _pictures(root)
        if any(stem in found for stem in stems):
            return root, found
    for root in (*_folders(folder), *_folders(folder.parent)):
        found = _pictures(root)
        score = sum(stem in found for stem in stems), _common(root.name, folder.name)
        if score > best[0] and score[0]:
            best = (score, root, found)
    return best[1], best[2]


def entries(folder: Path) -> list[Path]:
    """What lies in `folder`, sorted. Raises InputError when it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}).") from error


def _folders(folder: Path) -> list[Path]:
    try:
        return [entry for entry in entries(folder) if entry.is_dir()]
    except InputError:
        return []


def _common(first: str, second: str) -> int:
    """Length of what two names start with alike."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _pictures(folder: Path) -> dict[str, str]:
    try:
        return {Path(name).stem: name for name in sorted(os.listdir(folder)) if _IMAGE.match(name)}
    except OSError:
        return {}


def label_paths(path: Path, suffix: str) -> list[Path]:
    """The label file `path`, or those of a folder that end in `suffix`, in the order of the numbers in their names."""
    if path.is_file():
        return [path]
    found = [entry for entry in entries(path) if entry.name.lower().endswith(suffix) and entry.is_file()]
    return sorted(found, key=_natural)


def looked_at(path: Path, suffix: str) -> list[Path]:
    """The first label files of a folder: enough to tell its format."""
    if path.is_file():
        return [path] if path.name.lower().endswith(suffix) else []
    return label_paths(path, suffix)[:_LOOKED_AT] if path.is_dir() else []


def picture_stem(label: Path) -> str:
    """Name of the picture that `gt_img_1.txt` is about, without suffix: `img_1`."""
    return _PREFIX.sub("", label.stem)


def stem_of(image: str) -> str:
    """`train/img_1.jpg` -> `img_1`: what a label file of one picture is named after."""
    return Path(image).stem


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a loop of links; a NUL in the name
        return False


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
