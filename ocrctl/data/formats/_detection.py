"""Shared parts of the detection formats: what each supports, and how points, boxes and keys are read and written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from ocrctl.data.annotations.index import Annotations
from ocrctl.data.polygons.malformed import Malformed

Shape = Literal["box", "quad", "polygon"]


@dataclass(frozen=True)
class Keeps:
    """What a format supports; `dataset convert` reports what is lost."""

    shape: Shape
    text: bool = True
    ignore: Literal["flag", "mark", "none"] = "mark"  # mark: a reserved text, which replaces the instance's own
    marks: tuple[str, ...] = ()  # texts that read as ignored
    line_breaks: bool = False
    sizes: bool = False
    no_text: bool = True  # supports instances with an empty text
    no_points: bool = True  # with `shape` polygon: supports instances without points
    leading_numbers: bool = True  # supports texts that start with a number and a comma beside polygons of any size
    own_shape: Shape | None = None  # the shape it also reads and writes back; None: `shape`


@dataclass(frozen=True)
class Rendered:
    """A label file to write. `image` is its image, None when one file holds all images."""

    image: int | None
    name: str  # usual path below the data set's folder
    content: bytes


def number(value: float) -> int | float:
    """Return a whole coordinate as an integer, as nearly every tool writes it."""
    return int(value) if value == value and abs(value) != float("inf") and value == int(value) else value


def flat_points(data: Annotations, index: int) -> list[int | float]:
    """Return x1, y1, x2, y2 ... of an instance."""
    return [number(value) for value in data.polygon(index).ravel().tolist()]


def pair_points(data: Annotations, index: int) -> list[list[int | float]]:
    """Return [[x1, y1], [x2, y2] ...] of an instance."""
    return [[number(x), number(y)] for x, y in data.polygon(index).tolist()]


def box(data: Annotations, index: int) -> tuple[float, float, float, float]:
    """Return x1, y1, x2, y2 of the box around an instance; zeros when it has no points."""
    points = data.polygon(index)
    if not len(points):
        return 0, 0, 0, 0
    (x1, y1), (x2, y2) = points.min(0).tolist(), points.max(0).tolist()
    return number(x1), number(y1), number(x2), number(y2)


def box_points(x1: float, y1: float, x2: float, y2: float) -> tuple[float, ...]:
    """Return a box as four points, clockwise from the top left."""
    return x1, y1, x2, y1, x2, y2, x1, y2


def flatten(points: Any) -> list[float]:
    """Flatten [[x, y], ...] or [x, y, ...] to a list of numbers. Raises TypeError or ValueError for anything else."""
    if points and isinstance(points[0], (list, tuple)):
        points = [value for x, y in points for value in (x, y)]
    return list(points)


def outline(item: dict[str, Any], keys: Sequence[str], *, sized: bool) -> list[float]:
    """Return x1, y1, x2, y2 ... from the first of `keys` that holds points, else the corners of `item["bbox"]`.

    `sized`: the bbox is left, top, width and height, else left, top, right and bottom. Raises as `flatten` does, and
    KeyError when there is neither.
    """
    for key in keys:
        if item.get(key):
            return flatten(item[key])
    x, y, right, bottom = item["bbox"]
    return list(box_points(x, y, x + right, y + bottom) if sized else box_points(x, y, right, bottom))


def without(item: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Return the keys of `item` that the index does not hold, kept so that writing the same format loses nothing."""
    return {key: value for key, value in item.items() if key not in known}


def malformed_instance(data: Annotations, index: int, own: bool) -> Malformed | None:
    """Return the malformed instance whose `raw` is written back to the same format; None for others."""
    return data.malformed.get(index) if own else None


def malformed_entry(data: Annotations, members: range, own: bool) -> Any:
    """Return the raw entry of an image whose whole entry is malformed; None for others."""
    bad = malformed_instance(data, members[0], own) if len(members) == 1 else None
    return bad.raw if bad is not None and bad.whole else None


def instances(data: Annotations) -> Iterator[tuple[int, range]]:
    """Yield each image with its instances."""
    spans = data.spans().tolist()
    for image, (start, stop) in enumerate(pairwise(spans)):
        yield image, range(start, stop)
