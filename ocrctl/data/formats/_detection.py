"""What the detection formats share: what each can express, and how points, boxes and keys are read and written."""

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
    """What a format can express; `dataset convert` says what is lost by it."""

    shape: Shape
    text: bool = True
    ignore: Literal["flag", "mark", "none"] = "mark"  # mark: a reserved text, so an ignored text of its own is lost
    marks: tuple[str, ...] = ()  # texts that read as ignored
    line_breaks: bool = False
    sizes: bool = False
    no_text: bool = True  # an instance with an empty text can be written
    no_points: bool = True  # so can, where `shape` is polygon, one without points
    leading_numbers: bool = True  # beside polygons that are no quads, a text can start with a number and a comma
    own_shape: Shape | None = None  # what it also reads and writes again; None: no more than `shape`


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


def outline(item: dict[str, Any], keys: Sequence[str], *, sized: bool) -> list[float]:
    """x1, y1, x2, y2 ... from the first of `keys` that holds points, else the corners of `item["bbox"]`.

    `sized`: the bbox is left, top, width and height, else left, top, right and bottom. Raises as `flatten` does, and
    KeyError when there is neither.
    """
    for key in keys:
        if item.get(key):
            return flatten(item[key])
    x, y, right, bottom = item["bbox"]
    return list(box_points(x, y, x + right, y + bottom) if sized else box_points(x, y, right, bottom))


def without(item: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """The keys of `item` that the index does not hold, kept so that writing the same format loses nothing."""
    return {key: value for key, value in item.items() if key not in known}


def malformed_instance(data: Annotations, index: int, own: bool) -> Malformed | None:
    """What is written for a malformed instance of the same format: `raw`, as it was read; None for others."""
    return data.malformed.get(index) if own else None


def malformed_entry(data: Annotations, members: range, own: bool) -> Any:
    """What stands of a picture whose whole entry is malformed; None for others."""
    bad = malformed_instance(data, members[0], own) if len(members) == 1 else None
    return bad.raw if bad is not None and bad.whole else None


def instances(data: Annotations) -> Iterator[tuple[int, range]]:
    """Each picture with its instances."""
    spans = data.spans().tolist()
    for image, (start, stop) in enumerate(pairwise(spans)):
        yield image, range(start, stop)
