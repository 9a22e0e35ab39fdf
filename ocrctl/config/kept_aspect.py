"""Sizes of a recogniser that keeps the aspect ratio of its images: a fixed height, a width of their own. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Resize = Literal["stretch", "keep"]
"""how an image is brought to the size of the input: both sides fixed, or the height fixed and the aspect ratio kept"""
Tall = Literal["upright", "turn"]
"""how a tall image is read: as it is, or also turned by 90 degrees to either side"""

TALL = 1.5  # height over width from which a word of several characters is vertical text and is turned to be read


@dataclass(frozen=True)
class KeptAspect:
    """Widths in pixels of the input.

    An image is resized to the height of the input and to a width between `min_width` and `max_width`; only beyond
    these limits its aspect ratio changes. Black columns are then added on its right: `margin` columns that the model
    reads as part of the image, and more up to `pad_to` columns where it is narrower and to a multiple of
    `pad_multiple`, since some models were trained with such padding and read worse without. What an image holds with
    these columns is its counted width; columns beyond it only fill a batch, whose width is a multiple of `multiple`,
    and change no output. A model that knows how to may weigh padding that is not there: columns up to `weighted_to`
    contribute to its means and its attention.

    `linear`: images are scaled linearly and their width is rounded down, as some models were trained, where others
    average over area what shrinks.

    `tall`: an image at least so many times as high as wide may be a single letter or vertical text. It is read upright
    and turned by 90 degrees to either side, and the most confident reading is taken (data.images.orientations); how
    training shows it, core.train.orient finds out. 0: every image is read upright.

    `buckets`: widths of images whose aspect ratio, width / height, is rounded to 1, 2, ... and at least 1; beyond them
    an image gets the height of the input for each time. Empty: the aspect ratio is kept as it is.
    """

    min_width: int
    max_width: int
    multiple: int = 1
    margin: int = 0
    pad_to: int = 0
    weighted_to: int = 0
    pad_multiple: int = 1
    linear: bool = False
    tall: float = 0.0
    buckets: tuple[int, ...] = ()

    def width_of(self, height: int, width: int, input_height: int) -> int:
        """Return the width that an image of (height, width) is resized to with `input_height` rows."""
        if self.buckets:
            ratio = max(1, round(width / height))
            wanted = self.buckets[ratio - 1] if ratio <= len(self.buckets) else ratio * input_height
            return min(max(wanted, self.min_width), self.max_width)
        wanted = (2 * width * input_height + (0 if self.linear else height)) // (2 * height)  # half up, without floats
        return min(max(wanted, self.min_width), self.max_width)

    def counted(self, width: int) -> int:
        """Return the columns that count for an image `width` pixels wide: its own, the margin, and those to pad_to and
        to a multiple of pad_multiple."""
        return -(-max(width + self.margin, self.pad_to) // self.pad_multiple) * self.pad_multiple

    def batch_width(self, widest: int) -> int:
        """Return the width of a batch whose widest image has `widest` pixels."""
        return -(-self.counted(widest) // self.multiple) * self.multiple

    def problem(self) -> str | None:
        """Return what is wrong with the widths as "NAME should be WHAT, found VALUE"; None when nothing is."""
        for name, low, high in (
            ("min_width", 1, self.max_width),
            ("max_width", 1, LIMIT),
            ("multiple", 1, 1024),
            ("margin", 0, LIMIT),
            ("pad_to", 0, LIMIT),
            ("weighted_to", 0, LIMIT),
            ("pad_multiple", 1, 1024),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                return f"{name} should be an integer from {low} to {high}, found {str(value)[:60]}"
        if not isinstance(self.linear, bool):
            return f"linear should be true or false, found {str(self.linear)[:60]}"
        tall = self.tall
        if isinstance(tall, bool) or not isinstance(tall, (int, float)) or not (tall == 0 or 1 < tall <= LIMIT):
            return f"tall should be 0 or a ratio above 1, found {str(tall)[:60]}"
        whole = all(isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= LIMIT for one in self.buckets)
        if not whole or list(self.buckets) != sorted(self.buckets):
            return f"buckets should be rising widths from 1 to {LIMIT}, found {str(self.buckets)[:60]}"
        return None

    def is_tall(self, height: int, width: int) -> bool:
        """Return whether an image of (height, width) is read in three orientations."""
        return 0 < self.tall * width <= height

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, as the model card holds them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> KeptAspect:
        """Return the object for the result of `to_dict`. Raises ValueError for names or values that are not valid."""
        try:
            found = cls(**{**values, "buckets": tuple(values.get("buckets", ()))})
        except TypeError as error:
            raise ValueError(f"fields should be {', '.join(cls.__dataclass_fields__)}") from error
        if not isinstance(found.max_width, int) or (problem := found.problem()):
            raise ValueError(problem if isinstance(found.max_width, int) else "max_width should be an integer")
        return found


LIMIT = 1 << 15  # pixels; as that of the sides of a card
