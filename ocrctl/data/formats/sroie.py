"""SROIE (scanned receipts), `box/000.csv` or `bbox/000.csv` for each image of `img/`: quad and text, UTF-8.

    72,25,326,25,326,64,72,64,TAN WOON YANN

x1,y1,...,x4,y4 in pixels, clockwise from the top left; the rest of the line is the text, commas included, never quoted.
`###` is ignored. Written to `box/`. The same lines in .txt files, as the competition published them, are `icdar15`.
https://rrc.cvc.uab.es/?ch=13  https://github.com/zzzDavid/ICDAR-2019-SROIE
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ocrctl.data.annotations.index import IGNORED, Annotations
from ocrctl.data.formats._detection import Keeps, Rendered, flat_points
from ocrctl.data.formats._gt_lines import folder_fits, is_quad, parse_quad, read_folder, render_folder

NAME = "sroie"
LABEL_FILES = ("*.csv",)
PER_IMAGE = True
KEEPS = Keeps("quad", marks=(IGNORED,))

_EXPECTED = "8 numbers and the text, separated by commas"


def sniff(path: Path) -> bool:
    return folder_fits(path, is_quad, ".csv")


def read(path: Path) -> Annotations:
    return read_folder(path, NAME, parse_quad, _EXPECTED, ".csv")


def render(data: Annotations) -> Iterator[Rendered]:
    return render_folder(data, NAME, lambda i: ",".join(map(str, flat_points(data, i))) + ",", name_of="box/{}.csv")
