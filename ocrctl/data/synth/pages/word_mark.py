"""A word to be drawn, and with what ink."""

from __future__ import annotations

from dataclasses import dataclass

from ocrctl.data.synth.words.fonts import FontFile
from ocrctl.data.synth.words.palette import Colour


@dataclass(frozen=True, slots=True)
class Style:
    """How ink is laid on: its colour, and a rim or a shadow of another."""

    colour: Colour
    rim: Colour | None = None
    shadow: float = 0.0  # opacity


@dataclass(frozen=True, slots=True)
class Mark:
    """A word on a sheet: the pen's start on the baseline and the size of the em, in the sheet's units."""

    text: str
    font: FontFile
    x: float
    y: float
    size: float
    style: Style
