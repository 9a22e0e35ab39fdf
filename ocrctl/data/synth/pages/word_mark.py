"""A word to draw, and its style."""

from __future__ import annotations

from dataclasses import dataclass

from ocrctl.data.synth.words.fonts import FontFile
from ocrctl.data.synth.words.palette import Colour


@dataclass(frozen=True, slots=True)
class Style:
    """Style of text: its colour, and an outline or a shadow of another colour."""

    colour: Colour
    rim: Colour | None = None
    shadow: float = 0.0  # opacity


@dataclass(frozen=True, slots=True)
class Mark:
    """A word on a sheet: its start on the baseline and the size of the em, in the sheet's units."""

    text: str
    font: FontFile
    x: float
    y: float
    size: float
    style: Style
